//! Runs that an older version stored.

use super::world::at;
use cloud_code_model::run::{AttemptState, Conclusion, Input, Rerun, Run, step};

/// As version 0.1.0 stored it: a run in progress, and one that failed.
const RUNNING: &str = include_str!("stored/running.json");
const FAILED: &str = include_str!("stored/failed.json");

#[test]
fn an_older_run_goes_on() {
    let mut run: Run = serde_json::from_str(RUNNING).unwrap();
    assert_eq!(run.jobs[0].attempts[0].state, AttemptState::Running);
    assert_eq!(run.steps(&run.jobs[0]).len(), 1);
    assert_eq!(run.clis(&run.jobs[0], "script"), ["script"]);
    assert_eq!(run.branch_of(&run.jobs[0]), run.branch);
    assert!(run.may_write(&run.jobs[0], "contents") && run.opens_pull(&run.jobs[0]));
    let report = cloud_code_model::run::ReportSummary {
        sequence: 99,
        conclusion: Some(Conclusion::NoChanges),
        ..Default::default()
    };
    step(&mut run, Input::Reported { job: "implement".into(), attempt: 1, report }, at(100));
    assert_eq!(run.conclusion, Some(Conclusion::NoChanges));
}

#[test]
fn an_older_run_is_cancelled_and_run_again() {
    let mut run: Run = serde_json::from_str(RUNNING).unwrap();
    step(&mut run, Input::Cancel { by: "ann".into(), replaced_by: None, force: false }, at(100));
    assert_eq!(run.jobs[0].attempts[0].state, AttemptState::Stopping);

    let mut run: Run = serde_json::from_str(FAILED).unwrap();
    step(&mut run, Input::Rerun { what: Rerun::Failed, by: "ann".into() }, at(100));
    assert!(!run.is_over());
    assert_eq!(run.jobs[0].attempts.last().unwrap().number, 2);
}
