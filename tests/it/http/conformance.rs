//! Real-shaped payloads of many events: all are taken, and come out as they went in.

use super::world::{World, call};
use std::path::{Path, PathBuf};

/// The folder with the payloads: `$CLOUD_CODE_CONFORMANCE/webhooks`, else beside the project.
fn folder() -> PathBuf {
    let base = std::env::var_os("CLOUD_CODE_CONFORMANCE").map(PathBuf::from);
    let base = base.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance"));
    base.join("webhooks")
}

#[tokio::test]
async fn every_payload_is_taken_unchanged() {
    let folder = folder();
    if !folder.is_dir() {
        println!("skipped: there are no payloads at {}; set CLOUD_CODE_CONFORMANCE", folder.display());
        assert!(std::env::var_os("CI").is_none(), "the payloads must be there in CI");
        return;
    }
    let world = World::new();
    let mut sent = Vec::new();
    for event in std::fs::read_dir(&folder).unwrap() {
        let event = event.unwrap();
        for file in std::fs::read_dir(event.path()).unwrap() {
            let text = std::fs::read(file.unwrap().path()).unwrap();
            let event = event.file_name().into_string().unwrap();
            let id = format!("delivery-{}", sent.len());
            let answer = world.send(call(&id, &event, text.clone())).await;
            let expected = if event == "ping" { 200 } else { 202 };
            assert_eq!(answer.status, expected, "{event}: {}", answer.body);
            if event != "ping" {
                sent.push((id, event, text));
            }
        }
    }
    assert!(sent.len() > 100, "only {} payloads", sent.len());
    let deliveries = world.deliveries().await;
    assert_eq!(deliveries.len(), sent.len());
    for (delivery, (id, event, text)) in deliveries.iter().zip(&sent) {
        assert_eq!((&delivery.id, &delivery.event), (id, event));
        assert_eq!(delivery.payload.get().as_bytes(), text.trim_ascii(), "{event}");
    }
}
