//! Functions for jq in Rust: those that meter, and those that replace one of jaq's.

use std::cell::Cell;

use jaq_core::{
    DataT, Exn, Lut, Native,
    box_iter::box_once,
    data::HasLut,
    native::{Fun, v},
    ops::Math,
};
use jaq_json::{Error, Num, Val};
use jaq_std::ValT as _;

use super::{
    math::calculate,
    meter::{HOLD, SEARCH, TICK, WEIGH, function_of},
    value,
};
use crate::Json;

/// Limit of the units of work of one evaluation: some tenths of a second of a core.
pub(super) const UNITS: usize = 1_000_000;
/// Limit of the bytes of all values gathered during one evaluation.
pub(super) const ROOM: usize = 64 << 20;
/// Number of bytes counted for each part of a value, without its text.
const PART_BYTES: usize = 64;
/// Limit of the parts (values, entries, items) of a computed value.
pub(super) const PARTS_MAX: usize = 100_000;
/// Limit of the bytes of text of a computed value: also a NATS server's own limit for a message.
pub(super) const TEXT_MAX: usize = 1 << 20;
/// Limit of the nesting of computed values: below the 128 levels that JSON readers accept.
pub(super) const DEPTH_MAX: usize = 100;
/// Limit of the bits of an integer.
const INTEGER_BITS_MAX: u64 = 8192;

/// Data type of expressions: JSON with a meter.
pub(super) enum Metered {}

impl DataT for Metered {
    type V<'a> = Val;
    type Data<'a> = Meter<'a>;
}

/// The compiled program and the rest of its budget.
#[derive(Clone)]
pub(super) struct Meter<'a> {
    pub(super) program: &'a Lut<Metered>,
    pub(super) budget: &'a Budget,
}

/// Rest of the budget of an evaluation. If any part of it is used up, the evaluation has failed,
/// even if it gave a value.
pub(super) struct Budget {
    units: Cell<usize>,
    room: Cell<usize>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { units: Cell::new(UNITS), room: Cell::new(ROOM) }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.units.get() == 0 || self.room.get() == 0
    }
}

impl<'a> HasLut<'a, Metered> for Meter<'a> {
    fn lut(&self) -> &'a Lut<Metered> {
        self.program
    }
}

impl Meter<'_> {
    fn pay(&self, units: usize) -> Result<(), Error> {
        spend(&self.budget.units, units).ok_or_else(|| Error::str(SPENT))
    }

    fn tick(&self, value: &Val) -> Result<(), Error> {
        match value {
            Val::Arr(items) => self.pay(1 + items.len() / 256).and(limit(items.len(), PARTS_MAX)),
            Val::Obj(entries) => {
                self.pay(1 + entries.len() / 256).and(limit(entries.len(), PARTS_MAX))
            }
            Val::BStr(text) | Val::TStr(text) => {
                self.pay(1 + text.len() / 4096).and(limit(text.len(), TEXT_MAX))
            }
            Val::Num(Num::BigInt(number)) if number.bits() > INTEGER_BITS_MAX => Err(too_large()),
            _ => self.pay(1),
        }
    }

    fn weigh(&self, value: &Val) -> Result<(), Error> {
        let mut size = Size::default();
        let fits = size.add(value, 0);
        self.pay(1 + size.parts / 32 + size.text / 4096).and(fits)
    }

    fn hold(&self, value: &Val) -> Result<(), Error> {
        let mut size = Size::default();
        let fits = size.add(value, 0);
        let room = spend(&self.budget.room, size.parts * PART_BYTES + size.text)
            .ok_or_else(|| Error::str(SPENT));
        self.pay(1 + size.parts / 32 + size.text / 4096).and(fits).and(room)
    }

    fn search(&self, value: &Val) -> Result<(), Error> {
        // A regular expression is compiled anew for each search; a match costs some 300 bytes.
        self.pay(50 + 8 * value.as_bytes().map_or(0, <[u8]>::len))
    }
}

/// Error of an evaluation that used up its budget.
pub(super) const SPENT: &str = "it takes too long or too much memory; let a cell compute it";

/// Error of a text that `fromjson` and `tonumber` cannot read.
pub(super) const NO_JSON: &str = "the text is no JSON";

fn spend(left: &Cell<usize>, amount: usize) -> Option<()> {
    let rest = left.get().checked_sub(amount);
    left.set(rest.unwrap_or(0));
    rest.map(|_| ())
}

pub(super) fn limit(size: usize, most: usize) -> Result<(), Error> {
    if size > most { Err(too_large()) } else { Ok(()) }
}

/// Error of a value that is too large or too deep.
pub(super) fn too_large_text() -> String {
    format!(
        "it gives too much: at most {PARTS_MAX} parts, {TEXT_MAX} bytes of text and {DEPTH_MAX} levels"
    )
}

fn too_large() -> Error {
    Error::str(too_large_text())
}

/// The whole size of a value; shared parts count as often as they appear.
#[derive(Default)]
struct Size {
    parts: usize,
    text: usize,
}

impl Size {
    fn add(&mut self, value: &Val, depth: usize) -> Result<(), Error> {
        self.parts += 1;
        limit(self.parts, PARTS_MAX)?;
        limit(depth, DEPTH_MAX)?;
        match value {
            Val::Arr(items) => items.iter().try_for_each(|item| self.add(item, depth + 1)),
            Val::Obj(entries) => entries.iter().try_for_each(|(key, value)| {
                self.add(key, depth + 1)?;
                self.add(value, depth + 1)
            }),
            Val::BStr(text) | Val::TStr(text) => {
                self.text += text.len();
                limit(self.text, TEXT_MAX)
            }
            Val::Num(Num::BigInt(number)) if number.bits() > INTEGER_BITS_MAX => Err(too_large()),
            _ => Ok(()),
        }
    }
}

/// Checks that a value is not too large or too deep to leave an expression.
pub(super) fn check_size(value: &Val) -> Result<(), Error> {
    Size::default().add(value, 0)
}

/// Converts a whole double to an integer, because jq has one kind of number.
fn whole(value: Val) -> Val {
    match value {
        Val::Num(Num::Float(float)) => Val::Num(value::number(float)),
        value => value,
    }
}

/// A function that passes its input on after its cost is counted: as a value, as a path and in an
/// update.
macro_rules! toll {
    ($name:ident, $pay:ident) => {
        ($name, v(0), {
            let run = Native::<Metered>::new(|(context, value)| {
                let paid = context.data().$pay(&value);
                box_once(paid.map(|()| whole(value)).map_err(Exn::from))
            });
            let paths = run.with_paths(|(context, place)| {
                let paid = context.data().$pay(&place.0);
                box_once(paid.map(|()| place).map_err(Exn::from))
            });
            paths.with_update(|(context, value), update| match context.data().$pay(&value) {
                Ok(()) => update(value),
                Err(error) => box_once(Err(Exn::from(error))),
            })
        })
    };
}

/// A function that removes a text from the input's beginning or end. Other values stay unchanged.
macro_rules! trim {
    ($name:literal, $strip:ident) => {
        (
            $name,
            v(1),
            Native::new(|(mut context, input)| {
                let taken = context.pop_var();
                let rest = match (&input, &taken) {
                    (Val::TStr(text), Val::TStr(taken)) => {
                        text.$strip(&***taken).map(|rest| text.slice_ref(rest))
                    }
                    _ => None,
                };
                box_once(Ok(rest.map_or(input, Val::utf8_str)))
            }),
        )
    };
}

/// An operator as a function of its two sides.
macro_rules! arithmetic {
    ($operator:expr) => {
        (
            function_of($operator),
            v(2),
            Native::new(|(mut context, input)| {
                let left = context.pop_var();
                let right = context.pop_var();
                // In `. + [1]` it is the left side: with one owner, that is extended in place.
                drop(input);
                box_once(calculate($operator, left, right).map_err(Exn::from))
            }),
        )
    };
}

/// Returns the functions of this crate. They replace jaq's of the same name.
pub(super) fn functions() -> Vec<Fun<Metered>> {
    vec![
        toll!(TICK, tick),
        toll!(WEIGH, weigh),
        toll!(HOLD, hold),
        toll!(SEARCH, search),
        arithmetic!(Math::Add),
        arithmetic!(Math::Sub),
        arithmetic!(Math::Mul),
        arithmetic!(Math::Div),
        arithmetic!(Math::Rem),
        ("infinite", v(0), Native::new(|_| box_once(Ok(Val::from(f64::INFINITY))))),
        ("nan", v(0), Native::new(|_| box_once(Ok(Val::from(f64::NAN))))),
        trim!("ltrimstr", strip_prefix),
        trim!("rtrimstr", strip_suffix),
        ("fromjson", v(0), Native::new(|cv| box_once(from_json(&cv.1).map_err(Exn::from)))),
    ]
}

/// Reads a text as JSON. It stops at 128 levels; jaq's own reader recurses without a limit.
fn from_json(text: &Val) -> Result<Val, Error> {
    let bytes = text.try_as_utf8_bytes_owned()?;
    limit(bytes.len(), TEXT_MAX)?;
    let parsed = if bytes.is_empty() { None } else { Json::read(&bytes).ok() };
    parsed.and_then(|json| json.parsed().cloned()).ok_or_else(|| Error::str(NO_JSON))
}
