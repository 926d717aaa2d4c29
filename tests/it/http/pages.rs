//! The pages: what they say, and that nobody else's markup gets into them.

use super::world::{World, done, failed, queued, running};
use axum::body::Body;
use axum::http::Request;
use cloud_code::ports::Artifact;

const ATTACK: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}";

#[tokio::test]
async fn pages_want_the_token_as_a_password() {
    let world = World::new();
    for path in ["/", "/runs/r-00000000000000000000", "/runs/r-00000000000000000000/logs"] {
        let answer = world.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.header("www-authenticate")[..6]),
            (401, "Basic "),
            "{path}"
        );
        assert_eq!(world.get(path).await.status, 401, "a Bearer token is for the API: {path}");
    }
    let answer = world.browse("/runs/r-00000000000000000000").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(answer.body.contains("there is no run r-00000000000000000000"), "{}", answer.body);
    assert_eq!(world.browse("/?limit=x").await.status, 400);
}

#[tokio::test]
async fn the_list() {
    let world = World::new();
    insta::assert_snapshot!(world.browse("/").await.body, @r#"
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Runs · Cloud Code</title><link rel="stylesheet" href="/assets/style.css"></head>
    <body><header><a href="/">Cloud Code</a></header>
    <main><h1>Runs</h1>
    <p>No run here. Put the label <code>cloud-code</code> on an issue, or comment <code>/cloud-code run</code> on it.</p>
    </main></body></html>
    "#);
    world.keep(&queued("d-1", "Totals are wrong")).await;
    insta::assert_snapshot!(world.browse("/").await.body, @r#"
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Runs · Cloud Code</title><link rel="stylesheet" href="/assets/style.css"></head>
    <body><header><a href="/">Cloud Code</a></header>
    <main><h1>Runs</h1>
    <table><thead><tr><th>Status</th><th>Issue</th><th>Workflow</th><th>Started</th><th>Run</th></tr></thead><tbody>
    <tr><td><span class="tone waiting">○ queued</span></td><td>Totals are wrong <small>acme/shop#42</small></td><td>implement</td><td><time title="2026-11-23T11:50:00Z">10 min ago</time></td><td><a href="/runs/r-af46b3cb366eea8c14eb">r-af46b3cb366eea8c14eb</a></td></tr>
    </tbody></table>
    </main></body></html>
    "#);
    for number in 0..50 {
        world.keep(&queued(&format!("q-{number}"), "more")).await;
    }
    assert!(world.browse("/").await.body.contains("\">Older runs</a>"));
}

#[tokio::test]
async fn a_run_that_ended_well() {
    let world = World::new();
    let run = done("d-1", "Totals are wrong");
    world.keep(&run).await;
    insta::assert_snapshot!(world.browse(&format!("/runs/{}", run.id)).await.body, @r#"
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Totals are wrong · Cloud Code</title><link rel="stylesheet" href="/assets/style.css"></head>
    <body><header><a href="/">Cloud Code</a></header>
    <main><h1>Totals are wrong</h1>
    <p><span class="tone good">✓ success</span> <a href="https://github.example/acme/shop/issues/42">acme/shop#42</a></p>
    <p class="published"><a href="https://github.example/acme/shop/pull/43">Draft pull request #43</a>: 3 files, <ins>+40</ins> <del>−2</del>, 1 commit, at <code>77ab0c11d2e3</code></p>
    <dl>
    <dt>Run</dt><dd><code>r-af46b3cb366eea8c14eb</code></dd>
    <dt>Workflow</dt><dd>implement <small>built-in:implement</small></dd>
    <dt>Started by</dt><dd>ada <small>issues labeled, <time title="2026-11-23T11:50:00Z">10 min ago</time></small></dd>
    <dt>Branch</dt><dd><code>cloud-code/issue-42</code></dd>
    <dt>Took</dt><dd>8 min 0 s</dd>
    <dt>Cost</dt><dd>$0.42 <small>12.3k tokens in, 800 cached, 950 out</small></dd>
    </dl>
    <h2>implement</h2>
    <section><h3><span class="tone good">✓ success</span> <small>7 min 0 s</small></h3>
    <ul class="steps">
    <li><span class="tone good">✓</span> agent</li>
    <li><span class="tone good">✓</span> cargo test</li>
    </ul>
    <details><summary>What the agent said</summary><pre>I fixed the &lt;b&gt;total&lt;/b&gt;.</pre></details>
    <p><a href="/runs/r-af46b3cb366eea8c14eb/logs?job=implement&amp;attempt=1">Log</a></p></section>
    <h2>Being tried again</h2>
    <ul>
    <li><code>tell</code>, after 1 try, next <time title="2026-11-23T12:04:00Z">in 4 min</time>: the forge did not answer: &lt;connection refused&gt;</li>
    </ul>
    <h2>History</h2>
    <ol class="history">
    <li><time title="2026-11-23T11:50:00Z">10 min ago</time> queued by ada (issues labeled)</li>
    <li><time title="2026-11-23T11:51:00Z">9 min ago</time> implement: attempt 1 launched</li>
    <li><time title="2026-11-23T11:52:00Z">8 min ago</time> implement: attempt 1 runs</li>
    <li><time title="2026-11-23T11:57:00Z">3 min ago</time> implement: attempt 1 finished (success), publishing</li>
    <li><time title="2026-11-23T11:58:00Z">2 min ago</time> implement: pushed cloud-code/issue-42 at 77ab0c11d2e3f4a5b6c7d8e9f00112233445566a</li>
    <li><time title="2026-11-23T11:58:00Z">2 min ago</time> implement: success</li>
    </ol></main></body></html>
    "#);
}

#[tokio::test]
async fn a_run_at_work_renews_itself() {
    let world = World::new();
    let run = running("d-1", "Totals are wrong");
    world.keep(&run).await;
    let page = world.browse(&format!("/runs/{}", run.id)).await.body;
    assert!(page.contains("http-equiv=\"refresh\""), "{page}");
    assert!(page.contains("● in progress") && page.contains("● running"), "{page}");
}

#[tokio::test]
async fn strangers_texts_stay_texts() {
    let world = World::new();
    let mut run = failed("d-1", ATTACK, ATTACK);
    run.subject.url = "javascript:alert(3)".to_owned();
    run.trigger.actor = ATTACK.to_owned();
    run.branch = ATTACK.to_owned();
    run.workflow.name = ATTACK.to_owned();
    run.jobs[0].spec.name = ATTACK.to_owned();
    run.jobs[0].attempts[0].report.as_mut().unwrap().steps[0].name = ATTACK.to_owned();
    run.jobs[0].attempts[0].report.as_mut().unwrap().summary = Some(ATTACK.to_owned());
    world.keep(&run).await;
    world.write(&run, Artifact::Log, ATTACK.as_bytes()).await;
    for path in ["/".to_owned(), format!("/runs/{}", run.id)] {
        let page = world.browse(&path).await.body;
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;&lt;img"), "{page}");
        for tag in ["<script", "<img", "javascript:alert(3)\"", "\u{202e}"] {
            assert!(!page.contains(tag), "{tag} in {page}");
        }
    }
    let log = world.browse(&format!("/runs/{}/logs", run.id)).await;
    assert_eq!(
        (log.header("content-type"), log.header("x-content-type-options")),
        ("text/plain; charset=utf-8", "nosniff")
    );
    assert_eq!(log.body, ATTACK);
}
