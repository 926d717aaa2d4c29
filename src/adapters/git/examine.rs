//! Judging a change before it is kept for the push: sizes and shapes in git's quarantine, then protected paths, then secrets.

use super::leaks::Leaks;
use super::{GitWorkspaces, described, from_git, io, mirror_key};
use crate::ports::{Change, SecretText, WorkspaceError};
use cloud_code_git::quarantine::{Expected, Limits, OpenError, Place, Quarantine, Rejected};
use cloud_code_git::{Oid, workspace};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::policy::ChangePolicy;
use cloud_code_model::untrusted::quiet_message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;

pub(super) const BUNDLE: &str = "changes.bundle";
pub(super) const ABOUT: &str = "about.json";
/// Names that a message for people lists before it says how many more there are.
const NAMED: usize = 5;

/// What an examined bundle is about; lies beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) mirror: String,
    pub(super) base: String,
    pub(super) branch: String,
    pub(super) policy: ChangePolicy,
}

impl About {
    pub(super) fn new(mirror: &str, base: &str, branch: &str, policy: &ChangePolicy) -> Self {
        Self {
            mirror: mirror.to_owned(),
            base: base.to_owned(),
            branch: branch.to_owned(),
            policy: policy.clone(),
        }
    }

    fn limits(&self) -> Limits {
        let usual = Limits::default();
        let bundle = usize::try_from(self.policy.max_bytes).unwrap_or(usize::MAX);
        Limits {
            max_bundle_bytes: bundle,
            max_files: self.policy.max_files,
            // Whoever allows a large bundle allows what is in it.
            max_object_bytes: usual.max_object_bytes.max(bundle),
            max_total_bytes: usual.max_total_bytes.max(bundle.saturating_mul(4)),
            ..usual
        }
    }
}

impl GitWorkspaces {
    pub(super) fn examine_now(
        &self,
        attempt: &AttemptId,
        about: &About,
        bundle: &[u8],
        secrets: &[SecretText],
    ) -> Result<Option<Change>, WorkspaceError> {
        let leaks = Leaks::of(secrets);
        let quarantine = match self.quarantined(attempt, about, bundle) {
            Ok(quarantine) => quarantine,
            Err(OpenError::Rejected(Rejected::Empty { .. })) => return Ok(None),
            Err(OpenError::Rejected(reason)) => return Err(refused(&leaks.scrubbed(&reason.to_string()))),
            Err(OpenError::Failed(error)) => return Err(from_git(error)),
        };
        if let Some(reason) = leaked(&quarantine, &leaks)? {
            return Err(refused(&reason));
        }
        if let Some(reason) = protected(&quarantine, &about.policy)? {
            return Err(refused(&reason));
        }
        let change = described(quarantine.change());
        if change.files.is_empty() {
            return Ok(None);
        }
        self.keep(attempt, about, bundle)?;
        Ok(Some(change))
    }

    /// Opens the bundle in a throw-away repository, every object checked.
    pub(super) fn quarantined(
        &self,
        attempt: &AttemptId,
        about: &About,
        bundle: &[u8],
    ) -> Result<Quarantine, OpenError> {
        let key = mirror_key(&about.mirror)
            .map_err(|error| cloud_code_git::GitError::Invalid(error.to_string()))?;
        let mirror = self.mirrors.open(&key)?.ok_or_else(|| cloud_code_git::GitError::NotFound {
            what: format!("the mirror of {}", about.mirror),
            hint: "the data folder was changed while the attempt ran; run again".to_owned(),
        })?;
        let base = Oid::from_str(&about.base)?;
        let expected = Expected { base, refname: format!("refs/heads/{}", about.branch) };
        let scratch = self.scratch_dir(attempt);
        let mut quarantine = Quarantine::open(mirror.path(), &scratch, bundle, &expected, &about.limits())?;
        // The forge acts on what stands in messages: it closes issues, and calls people.
        quarantine.reword(&|message| quiet_message(message, about.policy.closes))?;
        Ok(quarantine)
    }

    /// Keeps a bundle that passed. The folder gets its name last, so that what is found under it is whole.
    fn keep(&self, attempt: &AttemptId, about: &About, bundle: &[u8]) -> Result<(), WorkspaceError> {
        let folder = self.quarantine_dir(attempt);
        let new = folder.with_extension("new");
        for old in [&new, &folder] {
            workspace::remove(old).map_err(from_git)?;
        }
        fs::create_dir_all(&new).map_err(io(&new))?;
        let about = serde_json::to_vec(about).map_err(|error| WorkspaceError::Failed(error.to_string()))?;
        fs::write(new.join(BUNDLE), bundle).map_err(io(&new))?;
        fs::write(new.join(ABOUT), about).map_err(io(&new))?;
        fs::rename(&new, &folder).map_err(io(&folder))
    }
}

fn refused(reason: &str) -> WorkspaceError {
    WorkspaceError::Rejected(format!("{reason}; nothing was pushed"))
}

/// The protected paths that any commit of the change touches. One that a later commit restores counts too: the history is
/// pushed with it.
fn protected(quarantine: &Quarantine, policy: &ChangePolicy) -> Result<Option<String>, WorkspaceError> {
    let mut touched = BTreeSet::new();
    let mut folders = BTreeSet::new();
    let mut judge = |path: &str| {
        if let Some(folder) = policy.protects(path) {
            touched.insert(path.to_owned());
            folders.insert(folder.to_owned());
        }
    };
    for file in &quarantine.change().files {
        judge(&file.path);
        file.old_path.iter().for_each(|path| judge(path));
    }
    let mut visit = |place: &Place, _: &[u8]| {
        if let Place::Path { path, .. } = place {
            judge(path);
        }
    };
    quarantine.each_new_content(&mut visit).map_err(from_git)?;
    if touched.is_empty() {
        return Ok(None);
    }
    let folders = folders.into_iter().collect::<Vec<_>>().join(" and ");
    Ok(Some(format!("the change touches {}: changes under {folders} are not accepted", listed(&touched))))
}

/// Where the change contains a secret, without the secret.
fn leaked(quarantine: &Quarantine, leaks: &Leaks) -> Result<Option<String>, WorkspaceError> {
    let mut places = BTreeSet::new();
    let mut visit = |place: &Place, content: &[u8]| {
        if !leaks.found_in(content) {
            return;
        }
        places.insert(match place {
            Place::Commit(id) => format!("the author or message of commit {}", short(*id)),
            Place::File { path, .. } if !leaks.found_in(path.as_bytes()) => path.clone(),
            Place::File { commit, .. } => format!("a file of commit {}", short(*commit)),
            Place::Path { commit, .. } => format!("a file's name in commit {}", short(*commit)),
        });
    };
    quarantine.each_new_content(&mut visit).map_err(from_git)?;
    if places.is_empty() {
        return Ok(None);
    }
    let verb = if places.len() == 1 { "contains" } else { "contain" };
    Ok(Some(format!("{} {verb} the value of a secret", listed(&places))))
}

fn short(id: Oid) -> String {
    id.to_string().chars().take(7).collect()
}

/// `a, b, c, d, e and 3 more`.
fn listed(names: &BTreeSet<String>) -> String {
    let text = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_five_names_are_listed() {
        let names = |count: usize| (0..count).map(|number| format!("f{number}")).collect::<BTreeSet<_>>();
        for (count, expected) in [(1, "f0"), (5, "f0, f1, f2, f3, f4"), (7, "f0, f1, f2, f3, f4 and 2 more")]
        {
            assert_eq!(listed(&names(count)), expected);
        }
    }

    #[test]
    fn a_larger_bundle_brings_larger_objects() {
        let policy = ChangePolicy { max_bytes: 100 << 20, ..ChangePolicy::default() };
        let limits = About::new("h/o/n", "", "b", &policy).limits();
        assert_eq!((limits.max_bundle_bytes, limits.max_object_bytes), (100 << 20, 100 << 20));
        let usual = About::new("h/o/n", "", "b", &ChangePolicy::default()).limits();
        assert_eq!(usual, Limits::default());
    }
}
