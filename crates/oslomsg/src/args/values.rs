//! Values of flags: texts into types, pure.

#[cfg(feature = "kafka")]
use std::str::FromStr;
use std::time::Duration;

/// A `-X` of librdkafka, such as `socket.timeout.ms=5000`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Shows no value: it may be a password.
impl std::fmt::Debug for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=***", self.name)
    }
}

/// Reads `K=V`.
pub(crate) fn property(text: &str) -> Result<Property, String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.contains([':', ',']) {
        return Err("the name is empty or has a ':' or ','".to_owned());
    }
    // [oslo_messaging_kafka] librdkafka_properties is one list separated by commas.
    if value.contains(',') {
        return Err("a value with a ',' cannot be passed on".to_owned());
    }
    Ok(Property { name: name.to_owned(), value: value.to_owned() })
}

/// Reads a time in seconds, more than 0 and at most a year.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    const YEAR: f64 = 365.0 * 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=YEAR).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds from 0.001 on, such as 30 or 2.5".to_owned()),
    }
}

/// Reads a rate per second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("expected a number per second, such as 100 or 0.5".to_owned()),
    }
}

/// Checks a path for `--mask`.
#[cfg(feature = "kafka")]
pub(crate) fn mask(text: &str) -> Result<String, String> {
    let (root, rest) = text.split_once('.').unwrap_or((text, "*"));
    if matches!(root, "payload" | "context") && !rest.is_empty() && !rest.ends_with('.') {
        Ok(text.to_owned())
    } else {
        Err("a path starts with payload or context, such as payload.user.email".to_owned())
    }
}

/// Where `tail --offset` begins.
#[cfg(feature = "kafka")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offset {
    Beginning,
    End,
    At(i64),
    Last(i64),
    SinceMillis(i64),
}

#[cfg(feature = "kafka")]
impl FromStr for Offset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            let digits = digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits);
            digits.and_then(|digits| digits.parse::<i64>().ok())
        };
        let read = match text {
            "beginning" => Some(Self::Beginning),
            "end" => Some(Self::End),
            "stored" => return Err("stored offsets belong to a group: use --group".to_owned()),
            _ => match (text.strip_prefix("s@"), text.strip_prefix('-')) {
                (Some(millis), _) => number(millis).map(Self::SinceMillis),
                (_, Some(count)) => number(count).map(Self::Last),
                _ => number(text).map(Self::At),
            },
        };
        read.ok_or_else(|| "expected beginning, end, N, -N or s@MILLISECONDS".to_owned())
    }
}

/// When `tail --since` begins.
#[cfg(feature = "kafka")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    Ago(Duration),
    AtMillis(i64),
}

#[cfg(feature = "kafka")]
impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ago(text).map(Self::Ago).or_else(|| millis(text).map(Self::AtMillis)).ok_or_else(|| {
            "expected 90s, 15m, 6h or 2d, or a time such as 2026-11-22T07:51:26Z, \
             2026-11-22 07:51:26 (UTC) or 2026-11-22"
                .to_owned()
        })
    }
}

#[cfg(feature = "kafka")]
fn ago(text: &str) -> Option<Duration> {
    let unit = match text.bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86_400,
        _ => return None,
    };
    let count: u32 = text[..text.len() - 1].parse().ok()?;
    Some(Duration::from_secs(u64::from(count) * unit))
}

/// A time in UTC, or with its own offset, in milliseconds since 1970.
#[cfg(feature = "kafka")]
fn millis(text: &str) -> Option<i64> {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    let full = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        11.. => text.replacen(' ', "T", 1),
        _ => return None,
    };
    let read = OffsetDateTime::parse(&full, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{full}Z"), &Rfc3339));
    i64::try_from(read.ok()?.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(all(test, feature = "kafka"))]
mod tests {
    use super::{Offset, Since, mask, property, seconds};
    use std::time::Duration;

    #[test]
    fn offsets_are_those_of_kcat() {
        for (text, expected) in [
            ("beginning", Some(Offset::Beginning)),
            ("end", Some(Offset::End)),
            ("0", Some(Offset::At(0))),
            ("17", Some(Offset::At(17))),
            ("-17", Some(Offset::Last(17))),
            ("s@1700000000000", Some(Offset::SinceMillis(1_700_000_000_000))),
            ("stored", None),
            ("--5", None),
            ("s@-5", None),
            ("99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Offset>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn since_is_an_age_or_a_time_in_utc() {
        let at = |millis| Some(Since::AtMillis(millis));
        for (text, expected) in [
            ("90s", Some(Since::Ago(Duration::from_secs(90)))),
            ("15m", Some(Since::Ago(Duration::from_secs(900)))),
            ("2d", Some(Since::Ago(Duration::from_secs(172_800)))),
            ("1970-01-02", at(86_400_000)),
            ("1970-01-01T00:00:01Z", at(1000)),
            ("1970-01-01 00:00:01.5", at(1500)),
            ("1970-01-01T02:00:00+02:00", at(0)),
            ("yesterday", None),
            ("15", None),
            ("m", None),
            ("é", None),
        ] {
            assert_eq!(text.parse::<Since>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn properties_masks_and_times_are_checked() {
        assert!(property("a.b=c:d=e").is_ok_and(|p| p.name == "a.b" && p.value == "c:d=e"));
        for text in ["a", "=b", "a:b=c", "debug=broker,topic"] {
            assert!(property(text).is_err(), "{text}");
        }
        assert_eq!(format!("{:?}", property("sasl.password=x").unwrap()), "sasl.password=***");
        for (text, valid) in [
            ("payload", true),
            ("payload.a.b", true),
            ("context.*", true),
            ("message_id", false),
            ("payload.", false),
            ("payload.a.", false),
        ] {
            assert_eq!(mask(text).is_ok(), valid, "{text}");
        }
        for text in ["0", "-1", "NaN", "inf", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
