//! Memory, descriptors and threads of a process over time, and how they grow.

use std::{fs, io};

/// Bytes of a kibibyte, as the kernel counts, in megabytes.
const MEGABYTES_PER_KIB: f64 = 1024.0 / 1e6;

/// One look at a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Since the soak began.
    pub(crate) seconds: f64,
    pub(crate) resident_kib: f64,
    /// What the process has not given back to its allocator. The resident memory has what the
    /// allocator keeps, too: after each peak, and for each thread that was.
    pub(crate) heap_kib: f64,
    pub(crate) descriptors: f64,
    pub(crate) threads: f64,
}

impl Sample {
    /// Looks at a process that runs and has told its heap.
    pub(crate) fn take(seconds: f64, pid: u32, heap_kib: f64) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| io::Error::other(format!("process {pid} has ended")))
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok(Self {
            seconds,
            resident_kib: field("VmRSS:")?,
            heap_kib,
            descriptors: descriptors as f64,
            threads: field("Threads:")?,
        })
    }
}

/// What this process has not given back to its allocator.
#[expect(unsafe_code, reason = "the only way to ask glibc")]
pub(crate) fn heap_kib() -> f64 {
    // SAFETY: it reads the allocator's own numbers, from any thread.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as f64 / 1024.0
}

/// How a process grew, by the least squares over its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Slopes {
    /// MB/h.
    pub(crate) resident: f64,
    /// MB/h.
    pub(crate) heap: f64,
    /// Per hour.
    pub(crate) descriptors: f64,
    /// Per hour.
    pub(crate) threads: f64,
}

/// The samples after the first quarter of the time: before that, pools and buffers fill.
pub(crate) fn after_warm_up(samples: &[Sample]) -> &[Sample] {
    let last = samples.last().map_or(0.0, |sample| sample.seconds);
    let first = samples.partition_point(|sample| sample.seconds < last / 4.0);
    &samples[first..]
}

pub(crate) fn slopes(samples: &[Sample]) -> Slopes {
    Slopes {
        resident: slope(samples, |sample| sample.resident_kib * MEGABYTES_PER_KIB),
        heap: slope(samples, |sample| sample.heap_kib * MEGABYTES_PER_KIB),
        descriptors: slope(samples, |sample| sample.descriptors),
        threads: slope(samples, |sample| sample.threads),
    }
}

/// Per hour.
fn slope(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    let count = samples.len() as f64;
    let mean_time = samples.iter().map(|sample| sample.seconds).sum::<f64>() / count;
    let mean = samples.iter().map(&value).sum::<f64>() / count;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for sample in samples {
        let time = sample.seconds - mean_time;
        covariance += time * (value(sample) - mean);
        variance += time * time;
    }
    if variance > 0.0 { covariance / variance * 3_600.0 } else { 0.0 }
}

/// By how much the median of the last third is above that of the first third: a restart of the
/// broker closes and opens connections, and must not count.
pub(crate) fn growth(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    let third = samples.len().div_ceil(3);
    let median = |samples: &[Sample]| {
        let mut values: Vec<f64> = samples.iter().map(&value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    median(&samples[samples.len() - third..]) - median(&samples[..third])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(value: impl Fn(f64) -> f64) -> Vec<Sample> {
        (0..3_600)
            .map(|second| {
                let seconds = f64::from(second);
                let value = value(seconds);
                Sample {
                    seconds,
                    resident_kib: value,
                    heap_kib: value,
                    descriptors: value,
                    threads: value,
                }
            })
            .collect()
    }

    #[test]
    fn a_steady_leak_has_its_slope_whatever_the_start_and_the_noise() {
        let leak = |seconds: f64| {
            let warm_up = if seconds < 900.0 { seconds * 100.0 } else { 90_000.0 };
            warm_up + seconds + f64::from((seconds as u32 * 7_919) % 500)
        };
        let all = samples(leak);
        let slopes = slopes(after_warm_up(&all));
        // 1 KiB/s is 3.7 MB/h.
        assert!((slopes.heap - 3.686).abs() < 0.1, "{slopes:?}");
        assert!((slopes.threads - 3_600.0).abs() < 100.0, "{slopes:?}");
    }

    #[test]
    fn what_stays_has_no_slope_and_no_growth() {
        let all = samples(|_| 40.0);
        assert_eq!(slopes(&all), Slopes::default());
        assert!(growth(&all, |sample| sample.threads).abs() < f64::EPSILON);
        assert_eq!(slopes(&all[..1]), Slopes::default());
        assert_eq!(slopes(&[]), Slopes::default());
    }

    #[test]
    fn one_descriptor_for_each_restart_is_growth_and_a_closed_connection_is_none() {
        let leak = samples(|seconds| 20.0 + (seconds / 600.0).floor());
        assert!(growth(after_warm_up(&leak), |sample| sample.descriptors) >= 2.0);
        let restart = samples(|seconds| if seconds % 600.0 < 20.0 { 17.0 } else { 20.0 });
        assert!(growth(after_warm_up(&restart), |sample| sample.descriptors).abs() < f64::EPSILON);
    }

    #[test]
    fn a_sample_of_this_process_is_plausible() {
        let sample = Sample::take(1.0, std::process::id(), heap_kib()).unwrap();
        assert!(sample.resident_kib > 500.0 && sample.descriptors >= 3.0 && sample.threads >= 1.0);
        assert!(sample.heap_kib > 1.0 && sample.heap_kib < sample.resident_kib);
        assert!(Sample::take(1.0, u32::MAX, 0.0).is_err());
    }
}
