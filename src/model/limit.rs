//! Rates.

/// A rate.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Limit {
    /// Packets or bytes per unit of time.
    pub rate: u64,
    /// The unit of time.
    pub per: LimitUnit,
    /// What is counted.
    pub of: LimitOf,
    /// Packets or bytes that may come at once; at least 1 for packets.
    pub burst: u32,
    /// Whether it matches below or above the rate.
    pub when: LimitWhen,
}

/// What a [`Limit`] counts.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "packets or bytes")]
pub enum LimitOf {
    /// Bytes.
    Bytes,
    /// Packets.
    Packets,
}

/// When a [`Limit`] matches.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "below or above")]
pub enum LimitWhen {
    /// When the rate is exceeded.
    Over,
    /// While the rate is not exceeded.
    Until,
}

/// Unit of time of a [`Limit`].
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the units of nft(8)")]
pub enum LimitUnit {
    /// 86,400 seconds.
    Day,
    /// 3,600 seconds.
    Hour,
    /// 60 seconds.
    Minute,
    /// 1 second.
    Second,
    /// 604,800 seconds.
    Week,
}

impl LimitUnit {
    pub(crate) const ALL: [LimitUnit; 5] =
        [LimitUnit::Second, LimitUnit::Minute, LimitUnit::Hour, LimitUnit::Day, LimitUnit::Week];

    /// Returns its length in seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            LimitUnit::Day => 86_400,
            LimitUnit::Hour => 3_600,
            LimitUnit::Minute => 60,
            LimitUnit::Second => 1,
            LimitUnit::Week => 604_800,
        }
    }
}

impl Limit {
    /// Creates a limit of this many packets per unit, with a burst of 5.
    #[must_use]
    pub fn packets(rate: u64, per: LimitUnit) -> Self {
        Limit { rate, per, of: LimitOf::Packets, burst: 5, when: LimitWhen::Until }
    }

    /// Creates a limit of this many bytes per unit, with the burst that nft(8) gives it: none.
    #[must_use]
    pub fn bytes(rate: u64, per: LimitUnit) -> Self {
        Limit { rate, per, of: LimitOf::Bytes, burst: 0, when: LimitWhen::Until }
    }

    /// Sets how many may come at once.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// Matches above the rate instead of below it.
    #[must_use]
    pub fn over(mut self) -> Self {
        self.when = LimitWhen::Over;
        self
    }
}
