//! Mirrors that nobody uses go when the disk is short of room, and never one that a living checkout borrows from.

use super::{BRANCH, Place, attempt};
use crate::harness::tmpfs::Tmpfs;
use cloud_code::adapters::git::{GitWorkspaces, WorkspaceConfig};
use cloud_code::ports::{Checkout, PreparedWorkspace, Remote, RemoteAccess, WorkspaceError, Workspaces};
use std::path::{Path, PathBuf};

const MEGABYTE: usize = 1 << 20;

/// Several repositories, and checkouts of them below one folder.
struct Shelf {
    places: Vec<Place>,
    workspaces: GitWorkspaces,
    folder: PathBuf,
}

impl Shelf {
    /// Repositories of one file with so many bytes each, which is packed to little more than half of that.
    fn new(folder: &Path, free_bytes: u64, repositories: usize, bytes: usize) -> Self {
        // A linear congruential generator's numbers (Knuth's MMIX), which no packing finds the law of.
        let mut number = 1u64;
        let mut noise = String::with_capacity(bytes + 16);
        while noise.len() < bytes {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            noise.push_str(&format!("{:08x}", number >> 32));
        }
        let place = |_| {
            let place = Place::empty_folder();
            place.commit("main", "README.md", &noise);
            place
        };
        let config = WorkspaceConfig { free_bytes: Some(free_bytes), ..WorkspaceConfig::default() };
        let places = (0..repositories).map(place).collect();
        Self { places, workspaces: GitWorkspaces::new(folder, config), folder: folder.to_owned() }
    }

    /// Checks a repository out, for the attempt of the same number.
    async fn prepare(&self, number: usize) -> Result<PreparedWorkspace, WorkspaceError> {
        let remote = self.places[number].remote(RemoteAccess::Read).await;
        let remote = Remote { key: format!("local/acme/{number}"), ..remote };
        let attempt = attempt(u32::try_from(number).unwrap());
        let branch = BRANCH.to_owned();
        self.workspaces.prepare(&Checkout { attempt, remote, from: None, branch }).await
    }

    async fn discard(&self, number: usize) {
        self.workspaces.discard(&attempt(u32::try_from(number).unwrap())).await.unwrap();
    }

    fn mirrors(&self) -> Vec<usize> {
        let there = |number: &usize| self.folder.join(format!("mirrors/local/acme/{number}.git")).exists();
        (0..self.places.len()).filter(there).collect()
    }
}

/// Whether git finds everything in a checkout that its commit is made of.
fn whole(checkout: &PreparedWorkspace) -> bool {
    let repository = git2::Repository::open(&checkout.path).unwrap();
    let tree = repository.head().and_then(|head| head.peel_to_tree());
    tree.is_ok_and(|tree| tree.iter().all(|entry| entry.to_object(&repository).is_ok()))
}

#[tokio::test]
async fn a_mirror_stays_while_a_checkout_borrows_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path(), u64::MAX, 3, 1000);
    let kept = shelf.prepare(0).await.unwrap();
    shelf.prepare(1).await.unwrap();
    // A restart forgets nothing.
    let config = WorkspaceConfig { free_bytes: Some(u64::MAX), ..WorkspaceConfig::default() };
    let restarted = GitWorkspaces::new(folder.path(), config);
    restarted.make_room().await.unwrap();
    assert_eq!(shelf.mirrors(), [0, 1]);
    shelf.discard(1).await;
    restarted.make_room().await.unwrap();
    assert_eq!(shelf.mirrors(), [0]);
    assert!(whole(&kept));
    // What went is fetched again; what is discarded goes before the next fetch.
    shelf.discard(0).await;
    let again = shelf.prepare(1).await.unwrap();
    assert_eq!(shelf.mirrors(), [1]);
    assert!(whole(&again));
    let plenty =
        GitWorkspaces::new(folder.path(), WorkspaceConfig { free_bytes: Some(0), ..Default::default() });
    shelf.discard(1).await;
    plenty.make_room().await.unwrap();
    assert_eq!(shelf.mirrors(), [1], "there is room");
}

#[tokio::test]
async fn the_least_recently_used_mirrors_go_first_and_no_more_than_needed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(folder.path(), 24) else { return };
    let shelf = Shelf::new(disk.path(), 16 << 20, 4, 6 * MEGABYTE);
    // When the first is used again there is not enough room, and the second is the oldest that nobody holds.
    for number in [0, 1, 2, 0, 3] {
        shelf.prepare(number).await.unwrap();
        shelf.discard(number).await;
    }
    assert_eq!(shelf.mirrors(), [0, 2, 3]);
}

#[tokio::test]
async fn a_full_disk_is_made_room_on_and_it_is_tried_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(folder.path(), 20) else { return };
    // Nothing is removed ahead of time.
    let shelf = Shelf::new(disk.path(), 0, 5, 6 * MEGABYTE);
    let free = || {
        let disk = rustix::fs::statvfs(disk.path()).unwrap();
        usize::try_from(disk.f_bavail * disk.f_frsize).unwrap()
    };
    for number in 0..3 {
        shelf.prepare(number).await.unwrap();
        shelf.discard(number).await;
    }
    assert_eq!(shelf.mirrors(), [0, 1, 2]);
    // Too little for another mirror; later, enough for the mirror but not for its checkout.
    for (number, left) in [(3, 2 * MEGABYTE), (4, 8 * MEGABYTE)] {
        let filler = disk.path().join(format!("filler-{number}"));
        std::fs::write(&filler, vec![1; free() - left]).unwrap();
        let checkout = shelf.prepare(number).await.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert!(whole(&checkout));
        assert_eq!(shelf.mirrors(), [number]);
        shelf.discard(number).await;
        std::fs::remove_file(&filler).unwrap();
    }
}
