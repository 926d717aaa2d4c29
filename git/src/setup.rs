//! libgit2's process-wide settings, made once, before its first use.
//!
//! Three things are set, all of them through functions that are unsafe because they must not race with other uses of
//! libgit2: where it looks for configuration (nowhere: what a machine's or a person's gitconfig says must not steer us),
//! whether it refuses repositories of another owner (it must not: a workspace belongs to the container's user), and the
//! HTTP transport of [`crate::transport`]. Nothing else in this crate is unsafe.

use std::sync::Once;

static ONCE: Once = Once::new();

/// Makes libgit2 ready. Every public function of this crate that touches libgit2 calls this first; cheap after the first
/// time.
pub(crate) fn ready() {
    ONCE.call_once(|| {
        // Both are safe: atomics inside libgit2. They are its defaults, and say that we count on them.
        git2::opts::strict_object_creation(true);
        git2::opts::strict_hash_verification(true);
        if let Err(error) = settings() {
            tracing::error!(%error, "libgit2 refused its settings");
        }
    });
}

#[expect(unsafe_code, reason = "libgit2's process-wide settings have no safe interface")]
fn settings() -> Result<(), git2::Error> {
    // SAFETY: each of these must not run at the same time as another use of libgit2. `ready` runs this inside a `Once`
    // that every entrance to this crate passes before its first call of libgit2, so no such use has begun, and none can
    // begin before this returns.
    unsafe {
        for level in [
            git2::ConfigLevel::ProgramData,
            git2::ConfigLevel::System,
            git2::ConfigLevel::XDG,
            git2::ConfigLevel::Global,
        ] {
            git2::opts::set_search_path(level, "")?;
        }
        git2::opts::set_verify_owner_validation(false)?;
        #[cfg(feature = "client")]
        for scheme in ["http", "https"] {
            git2::transport::register(scheme, crate::transport::factory)?;
        }
    }
    Ok(())
}
