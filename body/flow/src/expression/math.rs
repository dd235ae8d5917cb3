//! Arithmetic: `+ - * / %`, without loss of digits of integers.

use jaq_core::ops::Math;
use jaq_json::{Error, Num, Val};

use super::{
    natives::{TEXT_MAX, limit},
    value,
};

/// Error of an operation that would round an integer.
pub(super) const INEXACT: &str = "an integer beyond 2^53 would lose digits here: exact are `+`, `-`, `*` and `%` of \
     integers, and `/` where nothing remains";
/// Error of a division by 0.
pub(super) const BY_ZERO: &str = "cannot divide by 0";

/// Calculates `left operator right`.
///
/// Integers are exact at any size, also in a division without a remainder. Everything else is
/// calculated in doubles; an integer that does not fit a double is refused there.
pub(super) fn calculate(operator: Math, left: Val, right: Val) -> Result<Val, Error> {
    match (&left, &right) {
        (Val::Num(left), Val::Num(right)) => return numbers(operator, left, right).map(Val::Num),
        (Val::TStr(text) | Val::BStr(text), Val::Num(times))
        | (Val::Num(times), Val::TStr(text) | Val::BStr(text))
            if operator == Math::Mul =>
        {
            let times = match times {
                Num::Int(times) => usize::try_from(*times).unwrap_or(0),
                Num::BigInt(_) => usize::MAX,
                Num::Float(_) | Num::Dec(_) => 0,
            };
            limit(text.len().max(1).saturating_mul(times), TEXT_MAX)?;
        }
        _ => {}
    }
    operator.run(left, right)
}

fn numbers(operator: Math, left: &Num, right: &Num) -> Result<Num, Error> {
    let are_integers = is_integer(left) && is_integer(right);
    if matches!(operator, Math::Div | Math::Rem) && is_zero(right) {
        return Err(Error::str(BY_ZERO));
    }
    if are_integers && operator == Math::Div {
        if let Some(quotient) = quotient(left, right) {
            return Ok(quotient);
        }
    } else if are_integers {
        let left = left.clone();
        let right = right.clone();
        return Ok(match operator {
            Math::Add => left + right,
            Math::Sub => left - right,
            Math::Mul => left * right,
            Math::Div => left / right,
            Math::Rem => left % right,
        });
    }
    if !(is_double(left) && is_double(right)) {
        return Err(Error::str(INEXACT));
    }
    let left = double(left);
    let right = double(right);
    Ok(value::number(match operator {
        Math::Add => left + right,
        Math::Sub => left - right,
        Math::Mul => left * right,
        Math::Div => left / right,
        // Of whole numbers alone, as in jq.
        Math::Rem if right.trunc() == 0.0 => return Err(Error::str(BY_ZERO)),
        Math::Rem => left.trunc() % right.trunc(),
    }))
}

fn is_integer(number: &Num) -> bool {
    matches!(number, Num::Int(_) | Num::BigInt(_))
}

fn is_zero(number: &Num) -> bool {
    match number {
        Num::BigInt(number) => number.bits() == 0,
        number => double(number) == 0.0,
    }
}

/// The quotient of two integers, if there is no remainder.
fn quotient(left: &Num, right: &Num) -> Option<Num> {
    match (left, right) {
        // The one quotient of machine integers that is none.
        (left, Num::Int(-1)) => Some(-left.clone()),
        (Num::Int(left), Num::Int(right)) if left.checked_rem(*right) == Some(0) => {
            left.checked_div(*right).map(Num::Int)
        }
        (Num::BigInt(left), Num::Int(right)) if *right != 0 && (&**left % *right).bits() == 0 => {
            Some(Num::big_int(&**left / *right))
        }
        (Num::BigInt(left), Num::BigInt(right))
            if right.bits() != 0 && (&**left % &**right).bits() == 0 =>
        {
            Some(Num::big_int(&**left / &**right))
        }
        _ => None,
    }
}

/// True if a double can hold the number: an integer of at most 53 significant bits, and by
/// convention every fraction.
fn is_double(number: &Num) -> bool {
    const BITS: u64 = 53;
    match number {
        Num::Int(number) => {
            let magnitude = number.unsigned_abs();
            let bits =
                magnitude.checked_ilog2().map_or(0, |high| high + 1 - magnitude.trailing_zeros());
            u64::from(bits) <= BITS
        }
        Num::BigInt(number) => {
            number.bits() - number.trailing_zeros().unwrap_or(0) <= BITS && number.bits() <= 1024
        }
        Num::Float(_) | Num::Dec(_) => true,
    }
}

fn double(number: &Num) -> f64 {
    match number {
        Num::Float(float) => *float,
        #[allow(clippy::cast_precision_loss, reason = "`is_double` was asked")]
        Num::Int(number) => *number as f64,
        other => other.to_string().parse().unwrap_or(f64::NAN),
    }
}
