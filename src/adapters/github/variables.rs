//! Variables: those of organisations, repositories and environments, as people set them for Actions.

use super::GitHubForge;
use super::bodies::VariablesBody;
use super::remembered::Remembered;
use super::tokens::Grant;
use super::transport::{Call, encoded};
use crate::ports::ForgeError;
use cloud_code_model::run::Repository;
use std::collections::BTreeMap;

const MAX_KEPT: usize = 1_000;
/// A repository has at most 500 variables, and sees at most 1,000 of its organisation; a page has 30 at most.
const MAX_PAGES: u32 = 40;

type Variables = BTreeMap<String, String>;
/// By installation, `owner/name` in lower case, and environment.
pub(super) type VariableCache = Remembered<(u64, String, Option<String>), Variables, MAX_KEPT>;

impl GitHubForge {
    pub(super) async fn read_variables(
        &self,
        repository: &Repository,
        environment: Option<&str>,
    ) -> Result<Variables, ForgeError> {
        let environment_key = environment.map(str::to_lowercase);
        let key = (repository.installation, repository.full_name().to_lowercase(), environment_key);
        let now = self.clock.now();
        if let Some(known) = self.variables.get(&key, now) {
            return Ok(known);
        }
        let mut variables = Variables::new();
        match environment {
            Some(name) => {
                let path = format!("/environments/{}/variables", encoded(name));
                match self.all(repository, Grant::Environments, &path).await {
                    // An environment that is ours alone has no page on GitHub, and so no variables.
                    Err(ForgeError::NotFound(_)) => {}
                    found => variables.extend(found?),
                }
            }
            None => {
                match self.all(repository, Grant::Variables, "/actions/organization-variables").await {
                    // Its owner is a person.
                    Err(ForgeError::NotFound(_)) => {}
                    found => variables.extend(found?),
                }
                variables.extend(self.all(repository, Grant::Variables, "/actions/variables").await?);
            }
        }
        self.variables.put(key, variables.clone(), now);
        Ok(variables)
    }

    async fn all(
        &self,
        repository: &Repository,
        grant: Grant,
        path: &str,
    ) -> Result<Vec<(String, String)>, ForgeError> {
        let mut found = Vec::new();
        let mut page = 1;
        while page <= MAX_PAGES {
            let call = Call::get(Self::path(repository, path))
                .query("per_page", "30")
                .query("page", &page.to_string());
            let reply = self.tokens.as_installation(repository, grant, &call).await?;
            let body: VariablesBody = reply.read()?;
            found.extend(body.variables.into_iter().map(|variable| (variable.name, variable.value)));
            match reply.page("next") {
                Some(next) if next > page => page = next,
                _ => break,
            }
        }
        Ok(found)
    }
}
