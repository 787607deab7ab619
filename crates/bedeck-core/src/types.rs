//! Field types, as `catalogue.toml` writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The unit of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Second,
    /// Milliseconds.
    Milli,
    /// Microseconds.
    Micro,
    /// Nanoseconds.
    Nano,
}

impl Unit {
    /// Decimal digits of a second that the unit can tell.
    pub const fn digits(self) -> u32 {
        match self {
            Self::Second => 0,
            Self::Milli => 3,
            Self::Micro => 6,
            Self::Nano => 9,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Milli => "ms",
            Self::Micro => "us",
            Self::Nano => "ns",
        }
    }
}

/// The type of a value that is not a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// True or false.
    Bool,
    /// A signed integer of so many bytes.
    Int(u8),
    /// An unsigned integer of so many bytes.
    UInt(u8),
    /// IEEE 754 single precision.
    Float32,
    /// IEEE 754 double precision.
    Float64,
    /// UTF-8 text.
    String,
    /// Bytes.
    Binary,
    /// A day.
    Date,
    /// An instant, or a wall-clock time where there is no zone.
    Timestamp(Unit, Option<String>),
    /// Text of few distinct values.
    Categorical,
    /// The key of another record.
    Reference,
}

impl Scalar {
    /// Whether values are byte strings and not numbers.
    pub const fn is_bytes(&self) -> bool {
        matches!(self, Self::String | Self::Binary | Self::Categorical)
    }

    /// Whether a number of this type is signed.
    pub const fn is_signed(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Date | Self::Timestamp(..))
    }

    /// Bits of a number whose range is not narrowed, or `None` where the range of the values decides.
    pub const fn raw_bits(&self) -> Option<u8> {
        match self {
            Self::Bool => Some(1),
            Self::Float32 => Some(32),
            Self::Float64 => Some(64),
            _ => None,
        }
    }
}

/// The type of a field: a scalar, or a list of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FieldType {
    /// Whether a value is a list.
    pub list: bool,
    /// The type of the value, or of the list's items.
    pub scalar: Scalar,
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int(bytes) => write!(f, "int{}", bytes * 8),
            Self::UInt(bytes) => write!(f, "uint{}", bytes * 8),
            Self::Float32 => f.write_str("float32"),
            Self::Float64 => f.write_str("float64"),
            Self::String => f.write_str("string"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Timestamp(unit, None) => write!(f, "timestamp[{}]", unit.name()),
            Self::Timestamp(unit, Some(zone)) => write!(f, "timestamp[{},{zone}]", unit.name()),
            Self::Categorical => f.write_str("categorical"),
            Self::Reference => f.write_str("reference"),
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.list { write!(f, "list<{}>", self.scalar) } else { self.scalar.fmt(f) }
    }
}

fn parse_scalar(text: &str) -> Option<Scalar> {
    Some(match text {
        "bool" => Scalar::Bool,
        "int8" => Scalar::Int(1),
        "int16" => Scalar::Int(2),
        "int32" => Scalar::Int(4),
        "int64" => Scalar::Int(8),
        "uint8" => Scalar::UInt(1),
        "uint16" => Scalar::UInt(2),
        "uint32" => Scalar::UInt(4),
        "uint64" => Scalar::UInt(8),
        "float32" => Scalar::Float32,
        "float64" => Scalar::Float64,
        "string" => Scalar::String,
        "binary" => Scalar::Binary,
        "date" => Scalar::Date,
        "categorical" => Scalar::Categorical,
        "reference" => Scalar::Reference,
        _ => {
            let inner = text.strip_prefix("timestamp[")?.strip_suffix(']')?;
            let (unit, zone) = inner.split_once(',').map_or((inner, None), |(unit, zone)| (unit, Some(zone)));
            let unit = match unit {
                "s" => Unit::Second,
                "ms" => Unit::Milli,
                "us" => Unit::Micro,
                "ns" => Unit::Nano,
                _ => return None,
            };
            Scalar::Timestamp(unit, zone.map(str::to_owned))
        }
    })
}

impl FromStr for FieldType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let item = text.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>'));
        parse_scalar(item.unwrap_or(text))
            .map(|scalar| Self { list: item.is_some(), scalar })
            .ok_or_else(|| Error::Schema(format!("{text:?} is not a field type")))
    }
}

impl From<FieldType> for String {
    fn from(value: FieldType) -> Self {
        value.to_string()
    }
}

impl TryFrom<String> for FieldType {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_they_are_written() {
        for text in [
            "bool",
            "int8",
            "uint64",
            "list<string>",
            "timestamp[ns]",
            "list<timestamp[us,Europe/Stockholm]>",
            "reference",
        ] {
            assert_eq!(text.parse::<FieldType>().unwrap().to_string(), text);
        }
        for text in ["", "int", "list<list<bool>>", "timestamp[m]", "list<bool"] {
            assert!(text.parse::<FieldType>().is_err(), "{text}");
        }
    }
}
