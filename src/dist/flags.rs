//! Distribution flags (`lib/kernel/include/dist.hrl`, OTP 29).

use std::ops::{BitAnd, BitOr};

/// A set of capabilities that one side offers, or that both have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u64);

impl Flags {
    /// The node wants to be visible; a connection is visible if both sides set it.
    pub const PUBLISHED: Self = Self(1 << 0);
    /// Reads headers with cached atoms.
    pub const DIST_HDR_ATOM_CACHE: Self = Self(1 << 13);
    /// Takes op 22 (`SEND_SENDER`) instead of 2.
    pub const SEND_SENDER: Self = Self(1 << 19);
    /// Takes exit reasons as payloads: ops 24, 26, 28 instead of 3, 8, 21.
    pub const EXIT_PAYLOAD: Self = Self(1 << 22);
    /// Stands for all of [`Flags::MANDATORY_25`].
    pub const MANDATORY_25_DIGEST: Self = Self(1 << 26);
    /// The dialler has no name and wants one.
    pub const NAME_ME: Self = Self(1 << 33);
    /// Takes op 33 (`ALIAS_SEND`).
    pub const ALIAS: Self = Self(1 << 35);

    /// Takes op 37 (`ALTACT_SIG_SEND`) instead of 33; OTP 28 and later.
    pub const ALTACT_SIG: Self = Self(1 << 37);

    /// Mandatory since OTP 25: `EXTENDED_REFERENCES`, `FUN_TAGS`, `NEW_FUN_TAGS`, `EXTENDED_PIDS_PORTS`,
    /// `EXPORT_PTR_TAG`, `BIT_BINARIES`, `NEW_FLOATS`, `UTF8_ATOMS`, `MAP_TAG`, `BIG_CREATION`, `HANDSHAKE_23`.
    pub const MANDATORY_25: Self =
        Self(1 << 2 | 1 << 4 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 16 | 1 << 17 | 1 << 18 | 1 << 24);
    /// What we demand of a peer: the eleven above, `UNLINK_ID` and `V4_NC` (mandatory since OTP 26, offered by 25).
    pub const DEMANDED: Self = Self(Self::MANDATORY_25.0 | 1 << 25 | 1 << 34);
    /// What we offer. On top of what we demand: `DIST_MONITOR`, `DIST_MONITOR_NAME`, `UNICODE_IO`, `SMALL_ATOM_TAGS`,
    /// `BIG_SEQTRACE_LABELS` (a promise about trace tokens, which we pass over), `SPAWN`, and those named here. Not
    /// the atom cache nor fragments: they change the framing.
    pub const OFFERED: Self = Self(
        Self::DEMANDED.0
            | Self::MANDATORY_25_DIGEST.0
            | 1 << 3
            | 1 << 5
            | 1 << 12
            | 1 << 14
            | Self::SEND_SENDER.0
            | 1 << 20
            | Self::EXIT_PAYLOAD.0
            | 1 << 32
            | Self::ALIAS.0
            | Self::ALTACT_SIG.0,
    );

    /// Flags as they stand in a handshake message. Unknown bits are kept; nobody looks at them.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        let flags = Self(bits);
        if flags.contains(Self::MANDATORY_25_DIGEST) { Self(bits | Self::MANDATORY_25.0) } else { flags }
    }

    /// The 64 bits for a handshake message.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitAnd for Flags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offer_is_the_recommended_one() {
        // The value that captures of OTP 25, 27 and 29 accepted (tests/fixtures/captures, conn in1), and op 37 of OTP 28.
        assert_eq!(Flags::OFFERED.bits(), 0x000d_075f_5fbc | 1 << 37);
        assert!(!Flags::OFFERED.contains(Flags::PUBLISHED));
    }

    #[test]
    fn observed_offers_satisfy_us() {
        for (who, bits) in
            [("OTP 25 and 27", 0xd_07df_7fbd_u64), ("OTP 29", 0x6d_07df_7fbd), ("erl_call", 0x4_0707_4f9c)]
        {
            assert!(Flags::from_bits(bits).contains(Flags::DEMANDED), "{who}");
        }
    }

    #[test]
    fn digest_bit_stands_for_the_eleven() {
        let flags = Flags::from_bits(1 << 26 | 1 << 25 | 1 << 34);
        assert!(flags.contains(Flags::DEMANDED));
        assert!(!Flags::from_bits(1 << 36 | 1 << 25 | 1 << 34).contains(Flags::DEMANDED));
    }
}
