//! The GitHub of the load scripts: a forge in a process of its own, driven by lines of JSON on standard input.
//!
//! It says where it is, and with which App, in one line; then it answers each line by one line:
//!
//! | line | what happens | answer |
//! | --- | --- | --- |
//! | `{"repository": {"name": "acme/a", "files": {"a.txt": "…"}}}` | a repository, with the App and the writer `ada` | `{}` |
//! | `{"webhook": {"url": "…", "secret": "…"}}` | events go there from now on | `{}` |
//! | `{"issues": {"repository": "acme/a", "count": 3}}` | three issues of `ada`'s | `{"issues": [1, 2, 3]}` |
//! | `{"label": {"repository": "acme/a", "issue": 1, "label": "cloud-code"}}` | `ada` labels it | `{}` |
//! | `{"delivered": null}` | waits until all events are delivered | `{"refused": 0}` |
//! | `{"pulls": {"repository": "acme/a", "count": 1, "seconds": 30}}` | waits for so many pull requests | `{"pulls": 1}` |
//! | `{"diff": {"repository": "acme/a", "pull": 2}}` | | `{"diff": "…"}` |
//! | `{"requests": null}` | | `{"requests": 12}` |
//!
//! It ends when standard input does.
#![expect(clippy::print_stdout, reason = "a program for scripts")]

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use cloud_code_forge::{Forge, ForgeConfig, Role, Webhook};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Repository { name: String, files: BTreeMap<String, String> },
    Webhook { url: String, secret: String },
    Issues { repository: String, count: u64 },
    Label { repository: String, issue: u64, label: String },
    Delivered,
    Pulls { repository: String, count: usize, seconds: u64 },
    Diff { repository: String, pull: u64 },
    Requests,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let forge = Forge::start(ForgeConfig::default()).await?;
    let app = forge.app();
    say(&json!({
        "url": forge.url(), "api_url": forge.api_url(), "app_id": app.id, "slug": app.slug,
        "private_key": forge.app_private_key(),
    }))?;
    // The forge lives on the runtime's own threads; this one may wait.
    for line in std::io::stdin().lines() {
        say(&obey(&forge, serde_json::from_str(&line?)?).await?)?;
    }
    Ok(())
}

fn say(answer: &Value) -> std::io::Result<()> {
    println!("{answer}");
    std::io::stdout().flush()
}

async fn obey(forge: &Forge, order: Order) -> anyhow::Result<Value> {
    const WRITER: &str = "ada";
    Ok(match order {
        Order::Repository { name, files } => {
            let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
            forge.create_repo(&name, &files, "main", true)?;
            forge.set_permission(&name, WRITER, Some(Role::Write))?;
            forge.install_app(&name)?;
            json!({})
        }
        Order::Webhook { url, secret } => {
            forge.set_webhook(Some(Webhook { url, secret }));
            json!({})
        }
        Order::Issues { repository, count } => {
            let open = |n| forge.open_issue(&repository, WRITER, &format!("Load {n}"), "Write a line.");
            json!({ "issues": (1..=count).map(open).collect::<Result<Vec<_>, _>>()? })
        }
        Order::Label { repository, issue, label } => {
            forge.label_issue(&repository, WRITER, issue, &label)?;
            json!({})
        }
        Order::Delivered => {
            let idle = |world: &cloud_code_forge::World| {
                world.deliveries().iter().all(|delivery| !delivery.waiting).then_some(())
            };
            forge.wait_for(idle, Duration::from_secs(300)).await?;
            let refused = |status: u16| !(200..300).contains(&status);
            let count = forge.look(|world| {
                let outcomes = world.deliveries().iter().filter_map(|delivery| delivery.outcome.as_ref());
                outcomes.filter(|outcome| refused(outcome.status_code)).count()
            });
            json!({ "refused": count })
        }
        Order::Pulls { repository, count, seconds } => {
            let mut changes = tokio::time::interval(Duration::from_millis(2));
            let wait = async {
                // The world wakes its watchers at each request; looking at a steady pace disturbs it less.
                while forge.pulls(&repository)?.len() < count {
                    changes.tick().await;
                }
                anyhow::Ok(())
            };
            let timely = tokio::time::timeout(Duration::from_secs(seconds), wait).await;
            if let Ok(result) = timely {
                result?;
            }
            json!({ "pulls": forge.pulls(&repository)?.len() })
        }
        Order::Diff { repository, pull } => json!({ "diff": forge.pull_diff(&repository, pull)? }),
        Order::Requests => json!({ "requests": forge.requests().len() }),
    })
}
