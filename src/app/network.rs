//! Which way out a job has, and what is told of what it was refused.

use super::App;
use crate::ports::Network;
use cloud_code_model::mask::Masker;
use cloud_code_model::network::{Mode, is_address, is_name, split_port};
use cloud_code_model::run::Job;

/// Hosts told of one attempt.
const MAX_BLOCKED: usize = 30;

/// What the job's workflow asks for, else what the server's settings say; an error is for people.
pub(super) fn of(app: &App, job: &Job) -> Result<Network, String> {
    let asked = job.spec.network.as_ref();
    let mode = asked.map(|asked| asked.mode);
    if !app.runner.confines() {
        // The settings' own choice is for runners that can keep it.
        return match mode {
            None | Some(Mode::Open) => Ok(Network::Open),
            Some(mode) => Err(format!(
                "the job asks for `network: {}`, and the {} runner can't keep it from the network; run it with RUNNER=docker, or \
                 let it have `network: open`",
                mode.as_str(),
                app.runner.name()
            )),
        };
    }
    Ok(match mode.unwrap_or(app.settings.network) {
        Mode::None => Network::None,
        Mode::Open => Network::Open,
        Mode::Restricted => {
            let mut allow = app.settings.network_allow.clone();
            let added = asked.map(|asked| asked.allow.as_slice()).unwrap_or_default();
            allow.add_workflows(added).map_err(|error| format!("jobs.{}.network.allow: {error}", job.key))?;
            allow.dedup();
            Network::Restricted(allow)
        }
    })
}

/// The hosts of a report that are hosts, each once: a stranger's text, and none of it a secret.
pub(super) fn blocked_hosts(reported: &[String], masker: &Masker) -> Vec<String> {
    let mut hosts = Vec::new();
    for host in reported {
        let good = split_port(host)
            .is_some_and(|(name, _)| is_name(name) || (is_address(name) && name.len() <= 45))
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
            && masker.mask_str(host) == *host;
        if good && !hosts.contains(host) && hosts.len() < MAX_BLOCKED {
            hosts.push(host.clone());
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_are_told() {
        let reported = [
            "evil.example",
            "evil.example",
            "10.0.0.1",
            "a.b:22",
            "[::1]",
            "[::1]:22",
            "@ann",
            "<b>",
            "a b",
            "",
            "x\nx",
            "s3cr3t-v4lue.evil.example",
            "a]b",
            &"x".repeat(300),
        ];
        let reported: Vec<String> = reported.iter().map(|host| (*host).to_owned()).collect();
        let masker = Masker::new(["s3cr3t-v4lue".to_owned()]);
        assert_eq!(
            blocked_hosts(&reported, &masker),
            ["evil.example", "10.0.0.1", "a.b:22", "[::1]", "[::1]:22"]
        );
        let many: Vec<String> = (0..100).map(|n| format!("h{n}.example")).collect();
        assert_eq!(blocked_hosts(&many, &masker).len(), MAX_BLOCKED);
    }
}
