//! What an agent may leave behind: nothing, commits of its own, uncommitted files, or both.

use crate::harness::{Options, SHOP, World};

struct Case {
    name: &'static str,
    script: &'static str,
    /// Subjects of the commits, oldest first; none means no pull request.
    commits: &'static [&'static str],
    /// Files that the branch must have, with their text.
    files: &'static [(&'static str, &'static str)],
    told: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "nothing",
        script: "echo looked at it",
        commits: &[],
        files: &[],
        told: &["➖ **No changes.**", "there is no branch and no pull request"],
    },
    Case {
        name: "undone",
        script: "echo x > x.txt; git add -A; git commit -qm one; git rm -q x.txt; git commit -qm two",
        commits: &[],
        files: &[],
        told: &["➖ **No changes.**"],
    },
    Case {
        name: "empty-commit",
        script: "git commit -q --allow-empty -m nothing",
        commits: &[],
        files: &[],
        told: &["➖ **No changes.**"],
    },
    Case {
        name: "ignored",
        script: "echo '*.log' >> .git/info/exclude; echo x > a.log",
        commits: &[],
        files: &[],
        told: &["➖ **No changes.**"],
    },
    Case {
        name: "uncommitted",
        script: "echo x > x.txt",
        commits: &["uncommitted"],
        files: &[("x.txt", "x\n")],
        told: &["1 commit in 1 file, +1 −0"],
    },
    Case {
        name: "committed",
        script: "echo x > x.txt; git add -A; git commit -qm 'My own words'",
        commits: &["My own words"],
        files: &[("x.txt", "x\n")],
        told: &["1 commit in 1 file"],
    },
    Case {
        name: "loud",
        script: "echo x > x.txt; git add -A; git commit -qm 'Closes #999 for @ann'; echo y > y.txt; git add -A; git commit -qm two",
        commits: &["Closes #\u{2060}999 for @\u{2060}ann", "two"],
        files: &[("x.txt", "x\n"), ("y.txt", "y\n")],
        told: &["2 commits in 2 files"],
    },
    Case {
        name: "both",
        script: "echo x > x.txt; git add -A; git commit -qm 'My first words'; echo y > y.txt",
        commits: &["My first words", "both"],
        files: &[("x.txt", "x\n"), ("y.txt", "y\n")],
        told: &["2 commits in 2 files"],
    },
    Case {
        name: "several",
        script: "for n in 1 2 3; do echo $n > $n.txt; git add -A; git commit -qm \"Part $n\"; done",
        commits: &["Part 1", "Part 2", "Part 3"],
        files: &[("1.txt", "1\n"), ("3.txt", "3\n")],
        told: &["3 commits in 3 files, +3 −0"],
    },
    Case {
        name: "deleted",
        script: "rm README.md; chmod +x cases/deleted.sh",
        commits: &["deleted"],
        files: &[],
        told: &["1 commit in 2 files, +0 −1"],
    },
    Case {
        name: "other-branch",
        script: "git checkout -qb mine; echo x > x.txt; git add -A; git commit -qm 'On mine'",
        commits: &["On mine"],
        files: &[("x.txt", "x\n")],
        told: &["1 commit in 1 file"],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_leave() {
    let mut options = Options::script("sh 'cases/${{ github.event.issue.title }}.sh'");
    for case in CASES {
        options = options.file(&format!("cases/{}.sh", case.name), &format!("set -e\n{}\n", case.script));
    }
    let world = World::start(options).await;
    let numbers: Vec<u64> = CASES.iter().map(|case| world.ask(case.name, "")).collect();
    for (case, number) in CASES.iter().zip(numbers) {
        let name = case.name;
        let mut told = vec![if case.commits.is_empty() { "➖" } else { "✅ **Done.**" }];
        told.extend(case.told);
        world.expect_comment(number, &told).await;
        let branch = format!("cloud-code/issue-{number}");
        let repo = git2::Repository::open(world.forge.look(|w| w.repository(SHOP)).unwrap().dir).unwrap();
        if case.commits.is_empty() {
            assert!(!world.our_branches().contains(&branch), "{name}");
            world.expect_labels(number, &["cloud-code:done"]).await;
            continue;
        }
        let pull = world.expect_pull(number).await;
        assert_eq!(pull.head_branch, branch, "{name}");
        let mut walk = repo.revwalk().unwrap();
        walk.push(pull.head_sha.parse().unwrap()).unwrap();
        walk.hide_ref("refs/heads/main").unwrap();
        let mut subjects: Vec<String> = walk
            .map(|id| repo.find_commit(id.unwrap()).unwrap().summary().unwrap().unwrap().to_owned())
            .collect();
        subjects.reverse();
        assert_eq!(subjects, case.commits, "{name}");
        for (path, text) in case.files {
            assert_eq!(world.file(&branch, path).as_deref(), Some(*text), "{name}: {path}");
        }
    }
    assert_eq!(
        world.forge.pulls(SHOP).unwrap().len(),
        CASES.iter().filter(|case| !case.commits.is_empty()).count()
    );
    world.finish().await;
}
