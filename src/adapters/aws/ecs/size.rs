//! The sizes that Fargate has: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size>

use crate::ports::{Limits, RunnerError};

/// A task's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// 1024 are a core.
    pub cpu: u32,
    /// Memory.
    pub memory_mib: u32,
}

/// Cores in 1024ths; least and most memory in MiB, and the step between two sizes.
const SIZES: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// The smallest size that has what was asked for.
///
/// # Errors
/// When Fargate has none so large.
pub fn fargate_size(limits: &Limits) -> Result<Size, RunnerError> {
    let memory = limits.memory_bytes.div_ceil(1 << 20);
    for (cpu, least, most, step) in SIZES {
        if f64::from(cpu) < limits.cpus * 1024.0 || memory > u64::from(most) {
            continue;
        }
        let memory = u32::try_from(memory).unwrap_or(most).max(least);
        let memory_mib = match cpu {
            // The smallest has 512, 1024 and 2048, and not 1536.
            256 => memory.next_power_of_two().max(least),
            _ => least + (memory - least).div_ceil(step) * step,
        };
        return Ok(Size { cpu, memory_mib });
    }
    Err(RunnerError::Refused(format!(
        "Fargate has no task with {} cores and {memory} MiB; at most 16 cores and 122,880 MiB: lower AGENT_CPUS or AGENT_MEMORY_MB",
        limits.cpus
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_size_that_fits() {
        for (cpus, mib, expected) in [
            (0.1, 100, Some((256, 512))),
            (0.25, 1025, Some((256, 2048))),
            (0.25, 2049, Some((512, 3072))),
            (2.0, 4096, Some((2048, 4096))),
            (2.0, 1, Some((2048, 4096))),
            (2.0, 4097, Some((2048, 5120))),
            (1.5, 9000, Some((2048, 9216))),
            (1.0, 30_720, Some((4096, 30_720))),
            (1.0, 30_721, Some((8192, 32_768))),
            (16.0, 122_880, Some((16_384, 122_880))),
            (16.1, 1, None),
            (1.0, 122_881, None),
        ] {
            let limits = Limits { cpus, memory_bytes: mib << 20, ..Limits::default() };
            let size = fargate_size(&limits).ok().map(|size| (size.cpu, size.memory_mib));
            assert_eq!(size, expected, "{cpus} cores, {mib} MiB");
        }
    }
}
