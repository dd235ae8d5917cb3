use cbs::Target;
use fleet::{Applied, Entry, Facts, States, Trouble, Version};

use super::*;

type Checked = Result<(), Box<dyn std::error::Error>>;

fn manifest(enabled: bool) -> Result<Manifest, Box<dyn std::error::Error>> {
    let mut entry = Entry::new(Version::new(ContentHash::of(b"spec"), None), "python");
    entry.enabled = enabled;
    Ok(Manifest::new([(Target::Cell("demo.say".parse()?), entry.into())])?)
}

fn head() -> ContentHash {
    ContentHash::of(b"head")
}

/// A body that has this head, with these entry states.
fn body(
    id: &str,
    head: ContentHash,
    states: &str,
) -> Result<(String, Presence), Box<dyn std::error::Error>> {
    let facts = Facts {
        body: id.parse()?,
        incarnation: 1,
        program: String::new(),
        platform: String::new(),
        labels: BTreeMap::new(),
        runtimes: BTreeMap::new(),
    };
    let states: States = states.parse()?;
    let troubles = vec![Trouble { index: 0, reason: "no Dart".to_owned() }];
    let presence = Presence {
        facts,
        beat: 1,
        applied: Some(Applied { number: 1, head }),
        states,
        draining: false,
        observed: BTreeMap::new(),
        troubles,
        tallies: Vec::new(),
        stuck: None,
    };
    Ok((id.to_owned(), presence))
}

fn look(
    bodies: &[(String, Presence)],
    enabled: bool,
) -> Result<Progress, Box<dyn std::error::Error>> {
    let (manifest, touched) = (manifest(enabled)?, BTreeSet::from([0]));
    let wanted = Wanted { head: head(), manifest: &manifest, touched: &touched, is_old: false };
    Ok(progress(&bodies.iter().map(|(id, presence)| (id.as_str(), presence)).collect(), &wanted))
}

#[test]
fn a_cell_that_is_ready_in_one_body_and_absent_in_the_other_is_there() -> Checked {
    let now =
        look(&[body("a", head(), "r")?, body("b", head(), ".")?, body("c", head(), "x")?], true)?;
    assert_eq!((now.missing, now.hopeless, now.followed), (Vec::new(), false, 3));
    Ok(())
}

#[test]
fn a_body_that_is_behind_or_about_to_change_is_waited_for() -> Checked {
    let old = ContentHash::of(b"old");
    for (states, of) in [
        ("r", old),
        ("s", head()),
        ("u", head()),
        ("f", head()),
        ("k", head()),
        ("e", head()),
        ("d", head()),
    ] {
        let now = look(&[body("a", head(), "r")?, body("b", of, states)?], true)?;
        assert_eq!((now.missing.len(), now.hopeless), (1, false), "{states}: {now:?}");
    }
    Ok(())
}

#[test]
fn what_nobody_can_run_is_hopeless_and_the_reason_is_told() -> Checked {
    for states in ["x", "y"] {
        let now = look(&[body("a", head(), states)?, body("b", head(), ".")?], true)?;
        assert!(now.hopeless && now.missing.iter().all(|line| line.contains("no Dart")), "{now:?}");
    }
    let nowhere = look(&[body("a", head(), ".")?], true)?;
    assert!(nowhere.hopeless && nowhere.missing.concat().contains("labels"), "{nowhere:?}");
    for states in ["e", "o"] {
        let kept = look(&[body("a", head(), states)?, body("b", head(), ".")?], true)?;
        assert!(
            kept.hopeless
                && kept.missing.concat().contains("serves on in a, for no body has the labels"),
            "{kept:?}"
        );
    }
    // Who is behind may be the one that can.
    let open = look(&[body("a", head(), "x")?, body("b", ContentHash::of(b"old"), "r")?], true)?;
    assert!(!open.hopeless, "{open:?}");
    Ok(())
}

#[test]
fn what_is_disabled_runs_nowhere_and_a_body_that_ends_counts_no_more() -> Checked {
    assert_eq!(look(&[body("a", head(), ".")?], false)?.missing, Vec::<String>::new());
    let (id, mut ending) = body("b", ContentHash::of(b"old"), "r")?;
    ending.draining = true;
    let now = look(&[body("a", head(), "r")?, (id, ending)], true)?;
    assert_eq!((now.missing, now.bodies), (Vec::new(), 1));
    Ok(())
}

#[test]
fn a_body_that_serves_what_asks_for_labels_of_nobody_says_so() -> Checked {
    let mut entry = Entry::new(Version::new(ContentHash::of(b"spec"), None), "python");
    entry.place = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
    let manifest = Manifest::new([(Target::Cell("demo.say".parse()?), entry.into())])?;
    let explained = |labels: &[(&str, &str)]| {
        let ids = [
            ("a", head(), "e"),
            ("b", head(), "o"),
            ("c", head(), "."),
            ("d", ContentHash::of(b"old"), "e"),
        ];
        let bodies =
            ids.map(|(id, head, states)| body(id, head, states).map(|(_, presence)| presence));
        let mut bodies = bodies.into_iter().collect::<Result<Vec<_>, _>>()?;
        bodies[2].facts.labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        unplaced::explain(&mut bodies, head(), &manifest);
        let reported = bodies
            .iter()
            .flat_map(|body| body.troubles.iter().skip(1))
            .map(|trouble| trouble.reason.clone());
        Ok::<_, Box<dyn std::error::Error>>(reported.collect::<Vec<_>>())
    };
    let says = |body: &str| {
        format!("cell demo.say serves on in {body}, for no body has the labels that it asks for")
    };
    assert_eq!(explained(&[("zone", "b")])?, [says("a"), says("b")]);
    assert_eq!(explained(&[("zone", "a")])?, [""; 0]);
    Ok(())
}
