//! A full disk: no delivery is accepted that is not kept, and all goes on when there is room again.

use super::world::{PATIENCE, REPOSITORY, World};
use crate::harness::tmpfs::Tmpfs;
use cloud_code_forge::Delivery;
use rustix::io::Errno;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// Takes all room that is left; the file gives it back.
fn fill(disk: &Tmpfs) -> PathBuf {
    let path = disk.path().join("filler");
    let mut file = fs::File::create(&path).unwrap();
    loop {
        match file.write_all(&[1; 4096]) {
            Ok(()) => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOSPC) => return path,
            Err(error) => panic!("{error}"),
        }
    }
}

fn status(delivery: &Delivery) -> u16 {
    delivery.outcome.as_ref().map_or(0, |outcome| outcome.status_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_answered_with_503_and_nothing_accepted_is_lost() {
    let mut world = World::new("echo hi > greet.sh").await;
    let Some(tmpfs) = Tmpfs::mount(&world.path("database"), 40) else { return };
    world.set("DATABASE_URL", &format!("sqlite:{}/cloud-code.db", tmpfs.path().display()));
    world.start().await;
    let number = world.issue();
    world.forge.await_deliveries().await.unwrap();

    let filler = fill(&tmpfs);
    // What SQLite had set aside is used up first; these are events that nobody needs.
    let mut refused = None;
    for n in 0..200 {
        let payload = json!({ "action": "created", "padding": "x".repeat(60_000), "n": n });
        let guid = world.forge.deliver("star", &payload);
        world.forge.await_deliveries().await.unwrap();
        let sent = world.forge.deliveries().into_iter().find(|delivery| delivery.guid == guid).unwrap();
        match status(&sent) {
            202 => {}
            503 => {
                refused = Some(guid);
                break;
            }
            other => panic!("delivery {n} was answered with {other}"),
        }
    }
    let refused = refused.expect("the disk was never full");
    world.forge.label_issue(REPOSITORY, "ada", number, "cloud-code").unwrap();
    world.forge.await_deliveries().await.unwrap();
    let labelled =
        world.forge.deliveries().into_iter().rfind(|sent| sent.action.as_deref() == Some("labeled")).unwrap();
    let first = status(&labelled);
    assert!(matches!(first, 202 | 503), "{first}");
    let (ready, body) = world.api("GET", "/readyz").await;
    assert!(ready == 503 && body.contains("store"), "{ready} {body}");

    fs::remove_file(filler).unwrap();
    // As the person who runs it would from GitHub's page of deliveries; the server itself was not restarted.
    for guid in [&refused, &labelled.guid] {
        let again = world.forge.redeliver(guid).await.unwrap();
        assert_eq!(status(&again), 202, "{again:?}");
    }
    world.labelled(number, "cloud-code:done").await;
    world.exactly_one_pull(number).await;
    let (_, decisions) = world.quiet().await;
    for accepted in world.forge.deliveries().iter().filter(|sent| status(sent) == 202) {
        let known = decisions.iter().any(|decision| decision.delivery == accepted.guid);
        assert!(known, "{} {:?} was accepted and lost", accepted.event, accepted.action);
    }
    assert_eq!(world.api("GET", "/readyz").await.0, 200);
    world.terminate(PATIENCE).await;
}
