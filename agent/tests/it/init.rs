//! The agent as process 1 of a container: what it passes on, and how it ends. Needs the image cloud-code-agent-script.

use cloud_code_model::task::{Conclusion, StepConclusion as S};

use crate::harness::{Lab, image};

#[test]
fn a_signal_reaches_the_agent_and_its_end_is_the_containers() {
    let Some(image) = image("script") else { return };
    for signal in ["INT", "TERM"] {
        let lab = Lab::new();
        let step = format!(
            "- run: trap 'echo saved > saved.txt; exit 0' INT; kill -{signal} 1; while :; do sleep 0.02; done"
        );
        let left = lab.run_in(&image, &step, "");
        left.expect(Conclusion::Cancelled);
        assert_eq!(left.conclusions(), [S::Cancelled]);
        let changes = left.report.tasks[0].changes.as_ref().unwrap();
        assert_eq!(lab.files(&changes.head), ["README.md", "saved.txt"], "{signal}");
    }
}

#[test]
fn two_signals_are_two() {
    let Some(image) = image("script") else { return };
    let lab = Lab::new().env("CLOUD_CODE_INTERRUPT_SECONDS", "3600");
    let step = "- run: trap '' INT TERM; kill -INT 1; kill -TERM 1; while :; do sleep 1; done";
    let left = lab.run_in(&image, step, "");
    left.expect(Conclusion::Cancelled);
    assert_eq!(left.step(0).exit_code, Some(137));
}

#[test]
fn an_agent_that_is_killed_takes_the_container_along() {
    let Some(image) = image("script") else { return };
    let output =
        Lab::new().output_in(&image, "- run: kill -KILL $(pidof -o 1 cloud-code-agent); sleep 600", "");
    assert_eq!(output.status.code(), Some(137), "{output:?}");
}
