//! The limits of a line.

use super::*;

fn fields(fields: impl IntoIterator<Item = (String, String)>) -> Vec<proto::Field> {
    fields.into_iter().map(|(key, value)| proto::Field { key, value }).collect()
}

fn kept(of: &[proto::Field]) -> BTreeMap<String, String> {
    bounded(of).and_then(|text| own_fields(&text)).unwrap_or_default().into_iter().collect()
}

#[test]
fn a_field_never_takes_the_name_of_one_of_the_body() {
    let names = TAKEN
        .into_iter()
        .chain(["cbs.cell", "sku"])
        .map(|name| (name.to_owned(), "mine".to_owned()));
    let kept = kept(&fields(names));
    assert_eq!(kept.len(), TAKEN.len() + 2);
    assert!(kept.keys().all(|name| name == "sku" || name.starts_with("extra_")), "{kept:?}");
}

#[test]
fn what_finds_no_room_is_counted() {
    let many = (0..40).map(|n| (format!("key{n}"), "x".repeat(300)));
    let long = [("k".repeat(65), String::new()), (EXCEPTION.to_owned(), "KeyError".to_owned())];
    let first = kept(&fields(many.chain(long)));
    assert_eq!(first.len(), FIELDS_MAX + 1);
    assert_eq!(first[LEFT_OUT], "9");
    // A line of a process of the body itself comes through here twice.
    assert_eq!(kept(&fields(first.clone())), first);
    assert_eq!(bounded(&[]), None);
}

#[test]
fn long_values_are_cut_and_all_of_them_have_a_limit() {
    let kept = kept(&fields((0..5).map(|n| (format!("key{n}"), "ä".repeat(10_000)))));
    assert_eq!((kept.len(), kept[LEFT_OUT].as_str()), (2, "4"));
    assert_eq!(kept["key0"].len(), TEXT_BYTES_MAX);
}
