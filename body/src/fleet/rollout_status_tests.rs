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
        assert!(unplaced::is_any(&bodies));
        assert_eq!(unplaced::explain(&mut bodies, head(), &manifest), [""; 0]);
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

/// A manifest of cells that ask for the label `zone=a`.
fn of_zone(count: usize) -> Result<Manifest, Box<dyn std::error::Error>> {
    let mut entry = Entry::new(Version::new(ContentHash::of(b"spec"), None), "python");
    entry.place = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
    let entries = (0..count).map(|index| {
        Ok((Target::Cell(format!("demo.say{index:03}").parse()?), entry.clone().into()))
    });
    let entries = entries.collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    Ok(Manifest::new(entries)?)
}

#[test]
fn the_reasons_of_a_body_are_bounded_and_the_others_are_counted() -> Checked {
    let count = fleet::TROUBLES_MAX + 9;
    let manifest = of_zone(count)?;
    let states = "e".repeat(count);
    let mut bodies = [body("a", head(), &states)?.1];
    assert_eq!(unplaced::explain(&mut bodies, head(), &manifest), [""; 0]);
    // The body has one trouble of its own.
    assert_eq!(bodies[0].troubles.len(), fleet::TROUBLES_MAX + 1);
    let last = &bodies[0].troubles.last().ok_or("a reason")?.reason;
    assert!(last.ends_with("asks for; and 9 more that it should stop"), "{last}");
    Ok(())
}

#[test]
fn an_entry_that_no_body_serves_for_want_of_its_labels_says_so() -> Checked {
    assert!(unplaced::is_any(&[body("a", head(), "x")?.1, body("b", head(), ".")?.1]));
    let mut refused = [body("a", head(), "y")?.1];
    assert_eq!(unplaced::explain(&mut refused, head(), &of_zone(1)?), [""; 0]);
    let mut bodies = [body("a", head(), ".")?.1];
    assert!(unplaced::is_any(&bodies));
    assert_eq!(
        unplaced::explain(&mut bodies, head(), &of_zone(1)?),
        ["cell demo.say000 runs nowhere: it needs the labels zone=a, and no body has them"]
    );
    let lines = unplaced::explain(&mut bodies, head(), &of_zone(fleet::TROUBLES_MAX + 2)?);
    assert_eq!(lines.len(), fleet::TROUBLES_MAX + 1);
    assert_eq!(lines.last().map(String::as_str), Some("and 2 more that run nowhere"));
    // A body that has not applied this head may still serve it.
    let mut behind = [body("a", ContentHash::of(b"old"), ".")?.1];
    assert_eq!(unplaced::explain(&mut behind, head(), &of_zone(1)?), [""; 0]);
    bodies[0].facts.labels = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
    assert_eq!(unplaced::explain(&mut bodies, head(), &of_zone(1)?), [""; 0]);
    assert!(!unplaced::is_any(&[body("a", head(), "r")?.1, body("b", head(), ".")?.1]));
    Ok(())
}

#[tokio::test]
async fn a_body_that_answers_and_has_no_lease_is_not_nobody() -> Checked {
    let server = testkit::NatsServer::with_jetstream().await;
    let client =
        bus_nats::Nats::connect_client(bus_nats::Options::new(server.url(), "deployer".parse()?))
            .await?;
    let store = Store::open(client, cbs::Namespace::default()).await?;
    let manifest = manifest(true)?;
    let touched = BTreeSet::from([0]);
    let wanted = Wanted { head: head(), manifest: &manifest, touched: &touched, is_old: false };
    let limit = Duration::from_secs(3);
    assert_eq!(wait(&store, &wanted, limit, |_| {}).await, Outcome::Nobody);

    let living =
        bus_nats::Nats::connect(bus_nats::Options::new(server.url(), "a".parse()?)).await?;
    living.on_admin_request(ASK_FLEET, |_| async { Ok(json!({})) });
    let missing = "1 body runs without a lease: the logs of the bodies have the reason";
    assert_eq!(wait(&store, &wanted, limit, |_| {}).await, Outcome::Not(vec![missing.to_owned()]));
    Ok(())
}
