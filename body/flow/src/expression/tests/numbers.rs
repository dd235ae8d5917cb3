//! Numbers keep their digits, or the expression fails.

use proptest::prelude::*;

use super::*;

const BIG: &str = "12345678901234567890123";

#[test]
fn numbers_that_are_not_calculated_with_keep_their_digits() {
    let input = format!(
        "{{\"id\": {BIG}, \"low\": -{BIG}, \"price\": 1.50, \"long\": 0.1234567890123456789012, \"e\": 1E5}}"
    );
    for (code, text) in [
        (".input.id", BIG),
        (".input | .id", BIG),
        ("[.input.low]", "[-12345678901234567890123]"),
        (".input.price", "1.50"),
        (
            "{p: .input.price, l: .input.long, e: .input.e}",
            "{\"p\":1.50,\"l\":0.1234567890123456789012,\"e\":1E5}",
        ),
        ("100000000000000000000", "100000000000000000000"),
        ("\"12345678901234567890123\" | tonumber", BIG),
        (".input.id | tostring", "\"12345678901234567890123\""),
        ("\"id \\(.input.id)\"", "\"id 12345678901234567890123\""),
        ("\"[12345678901234567890123]\" | fromjson | .[0]", BIG),
        (".input | tojson | fromjson | .id", BIG),
        ("[.input.id, 1] | sort | max", BIG),
        (".input.id | floor", BIG),
        (".input.low | abs", BIG),
        (".input.low | fabs", BIG),
    ] {
        assert_eq!(text_on(code, &input).as_deref(), Ok(text), "{code}");
    }
}

#[test]
fn arithmetic_of_integers_is_exact_and_what_would_lose_digits_says_so() {
    for (code, text) in [
        ("18446744073709551615 + 1", "18446744073709551616"),
        ("9223372036854775807 + 1 - 1", "9223372036854775807"),
        ("12345678901234567890123 * 10", "123456789012345678901230"),
        ("12345678901234567890123 % 10", "3"),
        ("12345678901234567890120 / 10", "1234567890123456789012"),
        ("-12345678901234567890120 / 12345678901234567890120", "-1"),
        ("[12345678901234567890123, 1] | add", "12345678901234567890124"),
        ("-(9223372036854775808)", "-9223372036854775808"),
        ("9007199254740992 * 0.5", "4503599627370496"),
        ("10 / 4", "2.5"),
        ("1.5 * 2", "3"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("[10, 20, 30] | .[4 / 2]", "30"),
        ("9223372036854775808 / 3", "3074457345618258602.6666666666666666"),
    ] {
        let is = text_on(code, "null");
        let is_close =
            is.as_ref().is_ok_and(|is| is.parse::<f64>().ok() == text.parse::<f64>().ok());
        assert!(is.as_deref() == Ok(text) || text.contains("2.66") && is_close, "{code}: {is:?}");
    }
    for code in [
        "12345678901234567890123 / 10",
        "12345678901234567890123 * 0.5",
        "0.5 + 9007199254740993",
        "9007199254740993 / 2",
        "1 / 12345678901234567890123",
    ] {
        let message = text_on(code, "null").expect_err(code).message;
        assert!(message.contains("would lose digits"), "{code}: {message}");
    }
    for code in
        ["1e300 * 1e300", "1e1000", "[1e400]", "pow(10; 400)", "reduce range(9) as $i (10; . * .)"]
    {
        let message = text_on(code, "null").expect_err(code).message;
        assert!(message.contains("not finite or too large"), "{code}: {message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn integers_are_calculated_with_as_128_bits_do(left in any::<i64>(), right in any::<i64>(), operator in 0..5_usize) {
        let l = i128::from(left);
        let r = i128::from(right);
        let symbol = ["+", "-", "*", "/", "%"][operator];
        let is = text_on(&format!(".input[0] {symbol} .input[1]"), &format!("[{left},{right}]"));
        let exact = if operator > 2 && right == 0 { None } else { match operator {
            0 => Some(l + r),
            1 => Some(l - r),
            2 => Some(l * r),
            3 => l.checked_rem(r).filter(|rest| *rest == 0).map(|_| l / r),
            _ => l.checked_rem(r),
        } };
        match exact {
            Some(exact) => prop_assert_eq!(is, Ok(exact.to_string())),
            None => prop_assert!(is.is_err() || operator == 3),
        }
    }

    #[test]
    fn a_number_of_any_length_passes_every_way(digits in "-?[1-9][0-9]{0,60}(\\.[0-9]{1,30})?") {
        for code in [".input", ".input | .", "[.input][0]", "{a: .input} | .a", ".input as $x | $x"] {
            prop_assert_eq!(text_on(code, &digits), Ok(digits.clone()), "{}", code);
        }
    }
}
