//! Remarks that steps make on the code, shown where people look.

use crate::harness::{Options, SHOP, Workflow, World};

const REMARKS: &str = "      - name: Lint
        run: |
          echo '::notice::by the way'
          echo '::warning file=./src/a.rs,line=3,endLine=4,title=clippy::do not ask @ann, see #1'
          echo '::error file=src/a.rs,line=7,col=2::it is wrong'
          echo '::error file=/etc/passwd,line=1::not of the repository'
          echo '::error file=../up.rs,line=1::nor this'
";

#[tokio::test(flavor = "multi_thread")]
async fn they_are_on_the_commit_in_the_comment_and_on_the_page() {
    let text = Workflow::script("mkdir -p src; echo x > src/a.rs").step(REMARKS).text();
    let world = World::start(Options::default().workflow(&text)).await;
    let number = world.ask("Lint", "");
    let comment = world.expect_comment(number, &["✅ **Done.**", "- ❌ `src/a.rs:7`: it is wrong"]).await;
    let lines: Vec<_> = comment.body.lines().skip_while(|line| !line.starts_with("- ❌")).collect();
    assert_eq!(lines[1], "- ❌ `/etc/passwd:1`: not of the repository");
    assert_eq!(lines[3], "- ⚠️ `./src/a.rs:3`: clippy: do not ask @\u{2060}ann, see #\u{2060}1");
    assert_eq!(lines[4], "- ℹ️ by the way");

    let pull = world.expect_pull(number).await;
    world.settle().await;
    let checks = world.forge.check_runs(SHOP, &pull.head_sha).unwrap();
    let found: Vec<_> = checks[0]
        .annotations
        .iter()
        .map(|annotation| {
            let of = |field: &str| annotation[field].to_string();
            let fields = ["path", "start_line", "end_line", "annotation_level", "title"];
            fields.map(of).join(" ")
        })
        .collect();
    assert_eq!(
        found,
        [r#""src/a.rs" 7 7 "failure" null"#, r#""src/a.rs" 3 4 "warning" "clippy""#],
        "only what lies in the repository"
    );
    let run = world.expect_conclusion(number, "success").await;
    let step = run.jobs[0].attempts[0].steps.iter().find(|step| step.name == "Lint").unwrap();
    assert_eq!(step.annotations[0].line(), "error src/a.rs:7: it is wrong");
    assert_eq!(step.annotations.len(), 5);
    let page = world.http("GET", &format!("/runs/{}", run.id)).await;
    assert!(page.body.contains("<li>error src/a.rs:7: it is wrong</li>"), "{}", page.body);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_the_worst_are_shown() {
    let many = "      - name: Many
        run: |
          for line in $(seq 30); do echo \"::warning file=a.rs,line=$line::w$line\"; done
          for line in $(seq 4); do echo \"::error file=b.rs,line=$line::<!-- cloud-code:end --> e$line\"; done
          exit 1
";
    let text = Workflow::script("true").step(many).text();
    let world = World::start(Options::default().workflow(&text)).await;
    let number = world.ask("Lint", "");
    let comment = world.expect_comment(number, &["❌ **Failed.**", "- … and 4 more"]).await;
    let of = |mark: &str| {
        comment.body.lines().filter(|line| line.starts_with(mark) && line.contains(".rs:")).count()
    };
    assert_eq!((of("- ❌"), of("- ⚠️")), (4, 6), "{}", comment.body);
    assert!(!comment.body.contains("<!-- cloud-code:end"), "{}", comment.body);
    world.finish().await;
}
