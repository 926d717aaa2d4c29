//! Inputs of GitHub's own actions, from their `action.yml` on github.com/actions (2026).

use super::super::finding::Report;
use super::super::suggest::hint;
use super::super::yaml::Node;

/// Name, the inputs that it requires, and all others. Any version that still runs takes these.
const ACTIONS: &[(&str, &[&str], &[&str])] = &[
    (
        "actions/cache",
        &["path", "key"],
        &[
            "restore-keys",
            "upload-chunk-size",
            "enableCrossOsArchive",
            "fail-on-cache-miss",
            "lookup-only",
            "save-always",
        ],
    ),
    (
        "actions/checkout",
        &[],
        &[
            "repository",
            "ref",
            "token",
            "ssh-key",
            "ssh-known-hosts",
            "ssh-strict",
            "ssh-user",
            "persist-credentials",
            "path",
            "clean",
            "filter",
            "sparse-checkout",
            "sparse-checkout-cone-mode",
            "fetch-depth",
            "fetch-tags",
            "show-progress",
            "lfs",
            "submodules",
            "set-safe-directory",
            "github-server-url",
        ],
    ),
    (
        "actions/download-artifact",
        &[],
        &[
            "name",
            "artifact-ids",
            "path",
            "pattern",
            "merge-multiple",
            "github-token",
            "repository",
            "run-id",
            "skip-decompress",
            "digest-mismatch",
        ],
    ),
    (
        "actions/github-script",
        &["script"],
        &[
            "github-token",
            "debug",
            "user-agent",
            "previews",
            "result-encoding",
            "retries",
            "retry-exempt-status-codes",
            "base-url",
        ],
    ),
    (
        "actions/setup-go",
        &[],
        &[
            "go-version",
            "go-version-file",
            "check-latest",
            "token",
            "cache",
            "cache-dependency-path",
            "architecture",
            "go-download-base-url",
        ],
    ),
    (
        "actions/setup-node",
        &[],
        &[
            "always-auth",
            "node-version",
            "node-version-file",
            "architecture",
            "check-latest",
            "registry-url",
            "scope",
            "token",
            "cache",
            "package-manager-cache",
            "cache-dependency-path",
            "mirror",
            "mirror-token",
        ],
    ),
    (
        "actions/setup-python",
        &[],
        &[
            "python-version",
            "python-version-file",
            "cache",
            "architecture",
            "check-latest",
            "token",
            "cache-dependency-path",
            "update-environment",
            "allow-prereleases",
            "freethreaded",
            "pip-version",
            "pip-install",
        ],
    ),
    (
        "actions/upload-artifact",
        &["path"],
        &[
            "name",
            "if-no-files-found",
            "retention-days",
            "compression-level",
            "overwrite",
            "include-hidden-files",
            "archive",
        ],
    ),
];

/// Checks `with` of a step that uses one of them.
pub(super) fn check(name: &str, uses: &Node, step: &Node, report: &mut Report) {
    let Some((name, required, others)) = ACTIONS.iter().find(|row| row.0.eq_ignore_ascii_case(name)) else {
        return;
    };
    let with = step.get("with");
    if with.is_some_and(|with| with.has_expression()) {
        return;
    }
    let given = with.map_or(&[][..], |with| with.entries());
    if given.iter().any(|entry| entry.key.has_expression()) {
        return;
    }
    let same = |one: &str| {
        given.iter().any(|entry| entry.key.text().is_some_and(|key| key.eq_ignore_ascii_case(one)))
    };
    for input in required.iter().filter(|input| !same(input)) {
        report.warn(uses.at, "action", format!("{name} requires the input `{input}`, which is not given"));
    }
    for entry in given {
        let Some(key) = entry.key.text() else { continue };
        let mut known = required.iter().chain(*others);
        if !known.any(|input| input.eq_ignore_ascii_case(&key)) {
            let near = hint(&key, required.iter().chain(*others).copied());
            report.warn(entry.key.at, "action", format!("{name} has no input `{key}`{near}"));
        }
    }
}
