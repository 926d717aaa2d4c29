//! Committing what an agent left over.

use std::fs;

use cloud_code_git::stage::{Author, Summary, commit_all, head, summary};

use crate::harness::{World, git};

fn author() -> Author {
    Author { name: "cloud-code[bot]".into(), email: "bot@example.com".into() }
}

#[test]
fn what_is_left_over_is_committed_and_summed_up() {
    let world = World::with_shop();
    fs::write(world.work().join(".gitignore"), "*.log\n").unwrap();
    fs::write(world.work().join("old.txt"), "one\ntwo\n").unwrap();
    world.commit("more");
    git(&world.work(), &["push", "-q", "origin", "main"]);
    let mirror = world.fetch();
    let (dir, base) = world.workspace(&mirror, "workspace");
    assert_eq!(commit_all(&dir, "nothing", &author(), &[]).unwrap(), None);

    fs::write(dir.join("README.md"), "# Shop\n\nMore.\n").unwrap();
    fs::rename(dir.join("old.txt"), dir.join("new.txt")).unwrap();
    fs::create_dir_all(dir.join("deep/er")).unwrap();
    fs::write(dir.join("deep/er/file.rs"), "fn main() {}\n").unwrap();
    fs::write(dir.join("noise.log"), "ignored").unwrap();
    fs::create_dir_all(dir.join(".cloud-code")).unwrap();
    fs::write(dir.join(".cloud-code/reporting.yaml"), "ours").unwrap();
    fs::create_dir_all(dir.join("target/debug")).unwrap();
    fs::write(dir.join("target/debug/x"), "excluded").unwrap();
    fs::create_dir_all(dir.join("nested")).unwrap();
    git(&dir.join("nested"), &["init", "-q"]);
    git(&dir.join("nested"), &["commit", "-q", "--allow-empty", "-m", "nested"]);
    let new = commit_all(&dir, "Do it\n\nAll of it.", &author(), &["target", ""]).unwrap().unwrap();
    assert_eq!(head(&dir).unwrap(), Some(new));
    assert_eq!(
        git(&dir, &["log", "-1", "--format=%an <%ae>|%s|%P"]),
        format!("cloud-code[bot] <bot@example.com>|Do it|{base}")
    );
    assert_eq!(
        git(&dir, &["show", "--name-status", "--format=", "-M", "HEAD"]),
        "M\tREADME.md\nA\tdeep/er/file.rs\nR100\told.txt\tnew.txt"
    );
    assert_eq!(git(&dir, &["status", "--porcelain"]), "?? nested/\n?? target/");
    assert_eq!(commit_all(&dir, "again", &author(), &["target"]).unwrap(), None);
    assert_eq!(
        summary(&dir, base, new).unwrap(),
        Summary { commits: 1, files: 3, insertions: 3, deletions: 0 }
    );
}

#[test]
fn a_merge_under_way_is_concluded_and_a_first_commit_made() {
    let world = World::with_shop();
    let work = world.work();
    git(&work, &["checkout", "-q", "-b", "side"]);
    fs::write(work.join("side.txt"), "side\n").unwrap();
    world.commit("side");
    git(&work, &["checkout", "-q", "main"]);
    git(&work, &["merge", "-q", "--no-commit", "--no-ff", "side"]);
    commit_all(&work, "merge", &author(), &[]).unwrap().unwrap();
    assert_eq!(git(&work, &["log", "-1", "--format=%P"]).split(' ').count(), 2);
    assert!(!work.join(".git/MERGE_HEAD").exists());

    let fresh = world.path("fresh");
    fs::create_dir_all(&fresh).unwrap();
    git(&fresh, &["init", "-q"]);
    assert_eq!(head(&fresh).unwrap(), None);
    assert_eq!(commit_all(&fresh, "none", &author(), &[]).unwrap(), None);
    fs::write(fresh.join("a"), "a").unwrap();
    assert!(commit_all(&fresh, "first", &author(), &[]).unwrap().is_some());
    assert!(commit_all(&world.path("nowhere"), "x", &author(), &[]).is_err());
}
