//! Frame to envelope. Takes any bytes: borrows while it reads, copies only short texts.

use std::time::Duration;

use bytes::{Buf, Bytes};
use uuid::Uuid;

use super::{FrameError, HEADER_BYTES_MAX, MARK, VERSION};
use crate::{
    ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX, BusError, CellError, Code, Envelope, Kind, Outcome,
    Source, Text, Trace,
};

type Result<T> = std::result::Result<T, FrameError>;

/// Reads a frame. The payload is a slice of `frame`'s own buffer. Unknown header fields are passed
/// over.
///
/// # Errors
/// [`FrameError`] for bytes that are no frame. No input panics, and none allocates more
/// than a small multiple of [`HEADER_BYTES_MAX`].
pub fn decode(frame: Bytes) -> Result<Envelope> {
    match (frame.first(), frame.get(1)) {
        (Some(&MARK), Some(&VERSION)) => {}
        (Some(&MARK), Some(&version)) => return Err(FrameError::Version(version)),
        (Some(&MARK), None) => return Err(FrameError::Truncated),
        _ => return Err(FrameError::NotAFrame),
    }
    let mut reader = Reader(frame.get(2..).unwrap_or_default());
    let length = reader.varint()?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= HEADER_BYTES_MAX)
        .ok_or(FrameError::HeaderTooLarge(length))?;
    let header = reader.take(length)?;
    let mut envelope = self::header(header)?;
    let payload_at = frame.len() - reader.0.len();
    envelope.payload = frame;
    envelope.payload.advance(payload_at);
    Ok(envelope)
}

fn header(bytes: &[u8]) -> Result<Envelope> {
    let mut envelope = Envelope::default();
    let mut attribute_bytes = 0;
    fields(bytes, |number, value| {
        match number {
            1 => envelope.id = uuid(number, value)?.unwrap_or_default(),
            2 => envelope.correlation_id = uuid(number, value)?,
            3 => envelope.causation_id = uuid(number, value)?,
            4 => envelope.idempotency_key = text(number, value)?,
            5 => {
                let target = present(str(number, value)?).map(str::parse).transpose();
                envelope.target = target.map_err(|_| FrameError::Field(5, "not a target"))?;
            }
            6 => envelope.source = source(value.bytes(number)?)?,
            7 => envelope.schema = text(number, value)?,
            8 => envelope.content_type = text(number, value)?,
            9 => envelope.time_ms = value.number(number)?,
            10 => {
                envelope.timeout =
                    Some(value.number(number)?).filter(|ms| *ms > 0).map(Duration::from_millis);
            }
            11 => envelope.foreign_trace = present(value.bytes(number)?).map(trace).transpose()?,
            12 => envelope.tracestate = text(number, value)?,
            13 => envelope.kind = kind(value.number(number)?)?,
            14 => envelope.error = Some(Box::new(error(value.bytes(number)?)?)),
            15 => {
                let pair = attribute(value.bytes(number)?)?;
                attribute_bytes += pair.0.len() + pair.1.len();
                if envelope.attributes.len() >= ATTRIBUTES_MAX
                    || attribute_bytes > ATTRIBUTES_BYTES_MAX
                {
                    return Err(FrameError::Field(15, "more than 32 attributes or 8 KiB of them"));
                }
                envelope.attributes.push(pair);
            }
            16 => {
                let attempt = value.number(number)?;
                envelope.attempt =
                    u32::try_from(attempt).map_err(|_| FrameError::Field(16, "out of range"))?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(envelope)
}

fn kind(number: u64) -> Result<Kind> {
    match number {
        0 => Ok(Kind::Request),
        1 => Ok(Kind::Reply),
        2 => Ok(Kind::Error),
        3 => Ok(Kind::Event),
        4..=8 => Err(FrameError::Field(13, "a kind that is reserved")),
        _ => Err(FrameError::Field(13, "a kind that does not exist")),
    }
}

fn source(bytes: &[u8]) -> Result<Source> {
    let mut source = Source::default();
    fields(bytes, |number, value| {
        match number {
            1 => source.body = text(6, value)?,
            2 => source.cell = text(6, value)?,
            3 => source.revision = text(6, value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(source)
}

fn trace(bytes: &[u8]) -> Result<Trace> {
    let wrong = FrameError::Field(11, "not 25 bytes");
    let (trace_id, rest) = bytes.split_first_chunk().ok_or(wrong)?;
    let (span_id, flags) = rest.split_first_chunk().ok_or(wrong)?;
    match flags {
        [flags] => Ok(Trace { trace_id: *trace_id, span_id: *span_id, flags: *flags }),
        _ => Err(wrong),
    }
}

fn error(bytes: &[u8]) -> Result<BusError> {
    let mut error = CellError::new(Code::Internal, "");
    let mut outcome = Outcome::Ran;
    fields(bytes, |number, value| {
        match number {
            1 => error.code = Code::from(str(14, value)?),
            2 => error.message = str(14, value)?.to_owned(),
            3 => error.retryable = value.number(14)? != 0,
            4 => {
                let details = present(value.bytes(14)?).map(serde_json::from_slice).transpose();
                error.details =
                    details.map_err(|_| FrameError::Field(14, "details that are no JSON"))?;
            }
            5 if value.number(14)? != 0 => outcome = Outcome::NotRun,
            _ => {}
        }
        Ok(())
    })?;
    if error.code == Code::Timeout && outcome == Outcome::Ran {
        outcome = Outcome::Unknown;
    }
    Ok(BusError::new(error, outcome))
}

fn attribute(bytes: &[u8]) -> Result<(Text, Text)> {
    let mut pair = (Text::default(), Text::default());
    fields(bytes, |number, value| {
        match number {
            1 => pair.0 = text(15, value)?,
            2 => pair.1 = text(15, value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(pair)
}

fn uuid(number: u32, value: Value<'_>) -> Result<Option<Uuid>> {
    let id = present(value.bytes(number)?).map(Uuid::from_slice).transpose();
    id.map_err(|_| FrameError::Field(number, "an id that has not 16 bytes"))
}

/// In protobuf 3 an empty value means that the field is absent, even where a writer spells it out.
fn present<T: AsRef<[u8]> + ?Sized>(value: &T) -> Option<&T> {
    (!value.as_ref().is_empty()).then_some(value)
}

fn str<'a>(number: u32, value: Value<'a>) -> Result<&'a str> {
    std::str::from_utf8(value.bytes(number)?).map_err(|_| FrameError::Field(number, "not UTF-8"))
}

fn text(number: u32, value: Value<'_>) -> Result<Text> {
    str(number, value).map(Text::from)
}

/// The value of a protobuf field: the wire types that the header uses.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn number(self, number: u32) -> Result<u64> {
        match self {
            Self::Number(value) => Ok(value),
            Self::Bytes(_) => Err(FrameError::Field(number, "bytes where a number belongs")),
        }
    }

    fn bytes(self, number: u32) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(value) => Ok(value),
            Self::Number(_) => Err(FrameError::Field(number, "a number where bytes belong")),
        }
    }
}

/// Passes every field of a message to `each`.
fn fields<'a>(bytes: &'a [u8], mut each: impl FnMut(u32, Value<'a>) -> Result<()>) -> Result<()> {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let tag = reader.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(u32::MAX);
        let value = match tag & 7 {
            0 => Value::Number(reader.varint()?),
            1 => Value::Number(u64::from_le_bytes(reader.array()?)),
            2 => {
                let length = reader.varint()?;
                Value::Bytes(
                    reader.take(usize::try_from(length).map_err(|_| FrameError::Truncated)?)?,
                )
            }
            5 => Value::Number(u64::from(u32::from_le_bytes(reader.array()?))),
            _ => {
                return Err(FrameError::Field(number, "a wire type that protobuf 3 does not have"));
            }
        };
        each(number, value)?;
    }
    Ok(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(FrameError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(FrameError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FrameError::LongNumber)
    }
}
