//! Dates and instants as RFC 3339 writes them. Calendar arithmetic after Hinnant, "chrono-compatible low-level date algorithms".

/// 0001-01-01 and 9999-12-31, in days since 1970-01-01: what a four-digit year can write.
pub const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// Year, month and day of a day counted from 1970-01-01.
pub fn civil(days: i64) -> (i64, u32, u32) {
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = (if mp < 10 { mp + 3 } else { mp - 9 }) as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// Appends a date as `YYYY-MM-DD`.
pub fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    write_digits(year as u64, 4, out);
    out.push(b'-');
    write_digits(u64::from(month), 2, out);
    out.push(b'-');
    write_digits(u64::from(day), 2, out);
}

/// Appends an instant as `YYYY-MM-DDTHH:MM:SS[.fraction]Z`; the fraction has 0, 3, 6 or 9 digits as the unit has.
pub fn write_instant(ticks: i64, digits: u32, out: &mut Vec<u8>) {
    let per_second = 10i64.pow(digits);
    let (seconds, fraction) = (ticks.div_euclid(per_second), ticks.rem_euclid(per_second));
    write_date(seconds.div_euclid(86_400), out);
    let clock = seconds.rem_euclid(86_400) as u64;
    for (mark, part) in [(b'T', clock / 3600), (b':', clock / 60 % 60), (b':', clock % 60)] {
        out.push(mark);
        write_digits(part, 2, out);
    }
    if digits > 0 {
        out.push(b'.');
        write_digits(fraction as u64, digits as usize, out);
    }
    out.push(b'Z');
}

fn write_digits(mut number: u64, width: usize, out: &mut Vec<u8>) {
    let end = out.len() + width;
    out.resize(end, b'0');
    for byte in out[end - width..].iter_mut().rev() {
        *byte = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(days: i64) -> String {
        let mut out = Vec::new();
        write_date(days, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_at_the_edges() {
        assert_eq!(date(*DAYS.start()), "0001-01-01");
        assert_eq!(date(*DAYS.end()), "9999-12-31");
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
    }

    #[test]
    fn instants_before_the_epoch_count_forward() {
        let mut out = Vec::new();
        write_instant(-1, 3, &mut out);
        assert_eq!(out, b"1969-12-31T23:59:59.999Z");
        out.clear();
        write_instant(86_399, 0, &mut out);
        assert_eq!(out, b"1970-01-01T23:59:59Z");
    }
}
