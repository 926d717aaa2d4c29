//! `cloud-code secrets set|list|delete`.

use super::{CommandResult, logging, print_line};
use crate::config::{Environment, StorageConfig};
use crate::entry::vps;
use crate::ports::{Scope, SecretName, SecretText};
use anyhow::Context;
use clap::{Args, Subcommand};
use std::io::{IsTerminal, Read};
use std::process::ExitCode;

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub(super) enum SecretsCommand {
    /// Set a secret; its value is read from standard input, never from the command line.
    Set(Named),
    /// List the names of secrets; never their values.
    List(Scoped),
    /// Delete a secret.
    Delete(Named),
}

/// Whose secrets.
#[derive(Debug, Args)]
pub(super) struct Scoped {
    /// `OWNER`, `OWNER/REPOSITORY` or `OWNER/REPOSITORY/ENVIRONMENT`.
    #[arg(value_name = "SCOPE")]
    scope: String,
}

/// One secret.
#[derive(Debug, Args)]
pub(super) struct Named {
    #[command(flatten)]
    scope: Scoped,
    /// The secret's name, e.g. ANTHROPIC_API_KEY.
    name: String,
}

pub(super) async fn execute(command: SecretsCommand, env: &Environment) -> CommandResult {
    logging::start(env, true)?;
    let store = vps::secrets(&StorageConfig::read(env)?).await?;
    match command {
        SecretsCommand::Set(named) => {
            let (scope, name) = named.parse()?;
            store.set(&scope, &name, &value(&name)?).await?;
            print_line(&format!("{name} is set for {scope}"))?;
        }
        SecretsCommand::List(scoped) => {
            for name in store.list(&scoped.parse()?).await? {
                print_line(name.as_str())?;
            }
        }
        SecretsCommand::Delete(named) => {
            let (scope, name) = named.parse()?;
            if !store.delete(&scope, &name).await? {
                anyhow::bail!("{scope} has no secret {name}");
            }
            print_line(&format!("{name} is deleted for {scope}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Scoped {
    fn parse(&self) -> anyhow::Result<Scope> {
        Scope::parse(&self.scope).with_context(|| {
            format!(
                "`{}` is no scope; give OWNER, OWNER/REPOSITORY or OWNER/REPOSITORY/ENVIRONMENT",
                self.scope
            )
        })
    }
}

impl Named {
    fn parse(&self) -> anyhow::Result<(Scope, SecretName)> {
        let name = SecretName::parse(&self.name).with_context(|| {
            format!("`{}` is no name; letters, digits and `_`, no digit first, and neither PATH, HOME nor anything that begins with GITHUB_, CLOUD_CODE or LD_", self.name)
        })?;
        Ok((self.scope.parse()?, name))
    }
}

fn value(name: &SecretName) -> anyhow::Result<SecretText> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        anyhow::bail!(
            "give the value on standard input, e.g. `cloud-code secrets set acme {name} < key.txt`"
        );
    }
    let mut text = String::new();
    stdin.read_to_string(&mut text).context("standard input")?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        anyhow::bail!("standard input was empty; {name} is not changed");
    }
    Ok(SecretText::new(text))
}
