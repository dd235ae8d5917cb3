use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

type Checked = Result<(), Box<dyn std::error::Error>>;

fn bundle(files: &[(&str, bool, &str)]) -> Result<Bundle, BundleError> {
    let mut bundle = Bundle::default();
    for (path, executable, content) in files {
        bundle.add(path, *executable, content.as_bytes().to_vec())?;
    }
    Ok(bundle)
}

fn read(bytes: &[u8]) -> Result<Bundle, BundleError> {
    Bundle::decode(ContentHash::of(bytes), bytes)
}

/// Returns the bytes of a bundle that no program of this project would write.
fn forged(files: &[(&[u8], u8, u64, &[u8])]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (path, kind, length, content) in files {
        bytes.extend_from_slice(&u16::try_from(path.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(path);
        bytes.push(*kind);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(content);
    }
    bytes
}

#[test]
fn what_was_packed_is_unpacked_with_its_rights() -> Checked {
    let folder = tempfile::tempdir()?;
    let packed = bundle(&[("cells/a.py", false, "1"), ("run.sh", true, "2")])?;
    let bytes = packed.encode()?;
    let place = folder.path().join("some/place");
    read(&bytes)?.unpack(&place)?;
    assert_eq!(fs::read_to_string(place.join("cells/a.py"))?, "1");
    let mode =
        |path: &str| fs::metadata(place.join(path)).map(|data| data.permissions().mode() & 0o777);
    assert_eq!((mode("cells/a.py")?, mode("run.sh")?), (0o600, 0o700));
    // Once more changes nothing.
    fs::write(place.join("run.sh"), "3")?;
    packed.unpack(&place)?;
    assert_eq!(fs::read_to_string(place.join("run.sh"))?, "3");
    assert_eq!(fs::read_dir(folder.path().join("some"))?.count(), 1, "something was left behind");
    Ok(())
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    let long = "x".repeat(256);
    let deep = "a/".repeat(40);
    for path in [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../a",
        "a/../b",
        "a/..",
        ".",
        "./a",
        "a/./b",
        "a//b",
        "a/",
        "a\0b",
        "a\nb",
        "a\\b",
        &long,
        &deep,
    ] {
        assert!(bundle(&[(path, false, "")]).is_err(), "{path}");
        let bytes = forged(&[(path.as_bytes(), 0, 0, b"")]);
        assert!(
            matches!(read(&bytes), Err(BundleError::Path(_) | BundleError::Unreadable(_))),
            "{path}"
        );
    }
    for path in ["a", "..a", "a..", ".hidden/b", "é/ü.py", "a b/c"] {
        assert!(bundle(&[(path, false, "")]).is_ok(), "{path}");
    }
}

#[test]
fn bytes_that_are_no_bundle_are_refused() {
    let file: (&[u8], u8, u64, &[u8]) = (b"a", 0, 1, b"1");
    assert!(read(&forged(&[file])).is_ok());
    for (bytes, why) in [
        (b"".to_vec(), "nothing"),
        (b"cbs-bundle 2\n".to_vec(), "another format"),
        (forged(&[file, file]), "a file twice"),
        (forged(&[(b"b", 0, 0, b""), file]), "out of order"),
        (forged(&[file, (b"a/b", 0, 0, b"")]), "a file that is a folder"),
        (forged(&[file, (b"a-b", 0, 0, b""), (b"a/b", 0, 0, b"")]), "the same, apart"),
        (forged(&[(b"a", 2, 0, b"")]), "a link"),
        (forged(&[(b"a", 0, 2, b"1")]), "too short"),
        (forged(&[(b"a", 0, u64::MAX, b"1")]), "far too short"),
        (forged(&[(b"\xff", 0, 0, b"")]), "a path that is no text"),
    ] {
        assert!(read(&bytes).is_err(), "{why}");
    }
    let bytes = forged(&[file]);
    let wanted = ContentHash::of(b"something else");
    assert!(matches!(Bundle::decode(wanted, &bytes), Err(BundleError::WrongHash { .. })));
}

#[test]
fn a_bundle_has_its_bounds() -> Checked {
    let mut many = Bundle::default();
    for number in 0..FILES_MAX {
        many.add(&format!("{number}"), false, Vec::new())?;
    }
    assert_eq!(many.add("one more", false, Vec::new()), Err(BundleError::TooMany));
    let mut large = Bundle::default();
    assert_eq!(large.add("a", false, vec![0; BUNDLE_BYTES_MAX]), Err(BundleError::TooLarge));
    Ok(())
}

proptest! {
    #[test]
    fn what_was_written_is_read_and_its_bytes_are_the_same_in_any_order(
        files in proptest::collection::btree_map("[a-c.]{1,3}(/[a-c]{1,2}){0,2}", (any::<bool>(), any::<Vec<u8>>()), 0..8)
    ) {
        let (mut one, mut other) = (Bundle::default(), Bundle::default());
        let mut fits = true;
        for (path, (executable, content)) in &files {
            fits &= one.add(path, *executable, content.clone()).is_ok();
        }
        for (path, (executable, content)) in files.iter().rev() {
            fits &= other.add(path, *executable, content.clone()).is_ok();
        }
        if let (true, Ok(bytes)) = (fits, one.encode()) {
            prop_assert_eq!(&other.encode(), &Ok(bytes.clone()));
            prop_assert_eq!(read(&bytes), Ok(one));
        }
    }

    #[test]
    fn whatever_the_bytes_are_nothing_panics_and_what_is_read_is_canonical(
        start in any::<proptest::sample::Index>(), noise in any::<Vec<u8>>(),
    ) {
        let mut bytes = forged(&[(b"a/b", 0, 3, b"abc"), (b"c", 1, 1, b"x")]);
        let at = start.index(bytes.len());
        for (byte, noise) in bytes.iter_mut().skip(at).zip(noise) {
            *byte = noise;
        }
        if let Ok(bundle) = read(&bytes) {
            prop_assert_eq!(bundle.encode(), Ok(bytes));
            let folder = tempfile::tempdir().map_err(|error| TestCaseError::fail(error.to_string()))?;
            let place = folder.path().join("in/it");
            let _ = bundle.unpack(&place);
            let beside = fs::read_dir(folder.path()).map(Iterator::count).unwrap_or_default();
            prop_assert_eq!(beside, 1, "something was written outside");
        }
    }
}
