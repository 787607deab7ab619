//! When requests are due.

use std::time::Duration;

/// How requests follow one another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each connection asks again once it has an answer: as fast as the server can.
    Closed,
    /// So many a second, evenly.
    Constant(f64),
    /// So many a second on average, independently of one another.
    Poisson(f64),
}

/// The times at which requests are due, from the start on.
pub struct Schedule {
    pace: Pace,
    random: fastrand::Rng,
    place: u64,
    at: f64,
}

impl Schedule {
    /// The schedule of a pace; the same seed gives the same times.
    pub fn new(pace: Pace, seed: u64) -> Self {
        Self { pace, random: fastrand::Rng::with_seed(seed), place: 0, at: 0.0 }
    }

    /// When the next request is due; `None` where that is up to the connections.
    pub fn next(&mut self) -> Option<Duration> {
        match self.pace {
            Pace::Closed => return None,
            Pace::Constant(rate) => {
                self.at = self.place as f64 / rate;
                self.place += 1;
            }
            Pace::Poisson(rate) => self.at += -(1.0 - self.random.f64()).ln() / rate,
        }
        Some(Duration::from_secs_f64(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_requests_are_due_at_even_times() {
        let mut schedule = Schedule::new(Pace::Constant(1000.0), 0);
        let times: Vec<_> = (0..4).filter_map(|_| schedule.next()).collect();
        assert_eq!(times, [0, 1, 2, 3].map(Duration::from_millis));
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_deviation_of_their_rate() {
        let mut schedule = Schedule::new(Pace::Poisson(100.0), 7);
        let times: Vec<f64> = (0..20_000).filter_map(|_| schedule.next()).map(|at| at.as_secs_f64()).collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean - 0.01).abs() < 3e-4, "{mean}");
        assert!((deviation - 0.01).abs() < 4e-4, "{deviation}");
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let times = |seed| {
            let mut schedule = Schedule::new(Pace::Poisson(10.0), seed);
            (0..50).filter_map(|_| schedule.next()).collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }
}
