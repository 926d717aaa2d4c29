//! The workflow files of a repository, and what they bring in: environments, called workflows, composite actions. The default branch
//! decides: nobody changes the rules of a run from a branch.

use crate::app::{App, AppError};
use cloud_code_model::run::Repository;
use cloud_code_model::workflow::{self, Environment, Workflow, WorkflowError};
use indexmap::IndexMap;
use std::collections::HashMap;

/// The gates' file, beside the workflows.
const ENVIRONMENTS: [&str; 2] = [".cloud-code/environments.yml", ".cloud-code/environments.yaml"];

/// Files that one workflow may bring in.
const MAX_FILES: usize = 50;

/// What a repository has.
pub(super) struct Files {
    /// The workflows that could be read.
    pub(super) workflows: Vec<Workflow>,
    /// What is wrong with the others.
    pub(super) errors: Vec<String>,
    /// Texts by path, as far as they were read; `None` where there is no such file.
    texts: HashMap<String, Option<String>>,
    environments: IndexMap<String, Environment>,
    /// Why the environments can't be told.
    broken: Option<String>,
}

/// Reads the workflow files; the built-in workflow stands for a repository that has none.
pub(super) async fn read(app: &App, repository: &Repository) -> Result<Files, AppError> {
    let files = app.forge.workflows(repository).await?;
    let mut found = Files {
        workflows: Vec::new(),
        errors: Vec::new(),
        texts: HashMap::new(),
        environments: IndexMap::new(),
        broken: None,
    };
    for file in files {
        if ENVIRONMENTS.contains(&file.path.as_str()) {
            match workflow::environments(&file.path, &file.text) {
                Ok(environments) => found.environments = environments,
                Err(error) => found.broken = Some(error),
            }
            continue;
        }
        match workflow::read(&file.path, &file.text) {
            Ok(workflow) => found.workflows.push(workflow),
            Err(error) => found.errors.push(error.to_string()),
        }
        found.texts.insert(file.path, Some(file.text));
    }
    if found.workflows.is_empty() && found.errors.is_empty() {
        found.workflows.push(workflow::implement());
    }
    Ok(found)
}

impl Files {
    /// Completes a workflow with what it names: its environments, and the files that it calls or uses. The inner error is the user's.
    pub(super) async fn complete(
        &mut self,
        app: &App,
        repository: &Repository,
        workflow: &mut Workflow,
    ) -> Result<Result<(), String>, AppError> {
        if let Some(broken) = self.broken.as_ref().filter(|_| workflow.plan.names_environments()) {
            return Ok(Err(broken.clone()));
        }
        workflow.plan.environments.clone_from(&self.environments);
        let mut read = 0;
        loop {
            let missing: Vec<String> = match workflow.plan.resolve(&|path| self.texts.get(path).cloned()) {
                Ok(missing) => missing,
                Err(error) => return Ok(Err(told(workflow, &error))),
            };
            if missing.is_empty() {
                return Ok(Ok(()));
            }
            for path in missing {
                read += 1;
                if read > MAX_FILES {
                    let path = &workflow.path;
                    return Ok(Err(format!("{path}: it brings in more than {MAX_FILES} files")));
                }
                let text = app.forge.file(repository, &path).await?;
                self.texts.insert(path, text);
            }
        }
    }
}

fn told(workflow: &Workflow, error: &WorkflowError) -> String {
    format!("{}: {error}", workflow.path)
}
