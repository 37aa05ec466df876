//! The protobuf encoding: fields read, copied and written, nothing else known.

use super::PrepareError;

/// One field of a message: its number, its content, and all its bytes.
pub(super) struct Field<'a> {
    pub number: u64,
    pub value: Value<'a>,
    pub whole: &'a [u8],
}

pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes.
    Fixed(&'a [u8]),
}

impl<'a> Field<'a> {
    pub fn bytes(&self) -> &'a [u8] {
        match self.value {
            Value::Bytes(b) => b,
            _ => &[],
        }
    }
}

fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), PrepareError> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok((value, bytes.get(i + 1..).unwrap_or_default()));
        }
    }
    Err(PrepareError("a number is cut short"))
}

pub(super) fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, PrepareError> {
    let mut rest = message;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let (tag, after) = varint(rest)?;
        let take =
            |n: usize, from| <[u8]>::split_at_checked(from, n).ok_or(PrepareError("a field is cut short"));
        let value;
        (value, rest) = match tag & 7 {
            0 => {
                let (v, after) = varint(after)?;
                (Value::Varint(v), after)
            }
            2 => {
                let (n, after) = varint(after)?;
                let n = usize::try_from(n).map_err(|_| PrepareError("a length is too large"))?;
                let (body, after) = take(n, after)?;
                (Value::Bytes(body), after)
            }
            kind @ (1 | 5) => {
                let (body, after) = take(if kind == 1 { 8 } else { 4 }, after)?;
                (Value::Fixed(body), after)
            }
            _ => return Err(PrepareError("not a protobuf message")),
        };
        let whole = start.get(..start.len() - rest.len()).unwrap_or_default();
        out.push(Field { number: tag >> 3, value, whole });
    }
    Ok(out)
}

/// The numbers of a repeated field, packed or not.
pub(super) fn numbers(message: &[Field<'_>], number: u64) -> Result<Vec<u64>, PrepareError> {
    let mut out = Vec::new();
    for field in message.iter().filter(|f| f.number == number) {
        match field.value {
            Value::Varint(v) => out.push(v),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    let (v, rest) = varint(packed)?;
                    out.push(v);
                    packed = rest;
                }
            }
            Value::Fixed(_) => return Err(PrepareError("a number is not written as one")),
        }
    }
    Ok(out)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, number: u64, body: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

pub(super) fn put_number(out: &mut Vec<u8>, number: u64, v: u64) {
    put_varint(out, number << 3);
    put_varint(out, v);
}

/// Copies a message, with each field `number` replaced by what `f` makes of it.
pub(super) fn rewrite(
    message: &[u8],
    number: u64,
    f: impl Fn(&[u8]) -> Result<Vec<u8>, PrepareError>,
) -> Result<Vec<u8>, PrepareError> {
    let mut out = Vec::with_capacity(message.len() + 1024);
    let mut seen = false;
    for field in fields(message)? {
        if field.number == number {
            seen = true;
            put_bytes(&mut out, number, &f(field.bytes())?);
        } else {
            out.extend_from_slice(field.whole);
        }
    }
    if seen { Ok(out) } else { Err(PrepareError("a part that every model of this kind has is missing")) }
}

pub(super) fn first(message: &[u8], number: u64) -> Result<&[u8], PrepareError> {
    Ok(fields(message)?.iter().find(|f| f.number == number).map(Field::bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_cover_every_byte(numbers in proptest::collection::vec((1u64..2000, any::<u64>()), 0..20)) {
            let mut message = Vec::new();
            numbers.iter().for_each(|(n, v)| put_number(&mut message, *n, *v));
            let whole: Vec<u8> = fields(&message).unwrap().iter().flat_map(|f| f.whole.to_vec()).collect();
            prop_assert_eq!(whole, message);
        }

        #[test]
        fn repeated_numbers_are_read_packed_or_not(values in proptest::collection::vec(any::<u64>(), 0..20)) {
            let (mut one_by_one, mut body, mut packed) = (Vec::new(), Vec::new(), Vec::new());
            for v in &values {
                put_number(&mut one_by_one, 3, *v);
                put_varint(&mut body, *v);
            }
            put_bytes(&mut packed, 3, &body);
            for message in [one_by_one, packed] {
                prop_assert_eq!(&numbers(&fields(&message).unwrap(), 3).unwrap(), &values);
            }
        }
    }
}
