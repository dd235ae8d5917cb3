//! Derived ids by their exact values: an id that changes runs a journalled call twice.

use super::*;
use crate::CallId;

/// Any id of a run.
const RUN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[test]
fn the_example_of_rfc_9562_has_its_id() {
    // Appendix B.2: SHA-256 of the DNS namespace and a name.
    let id = derived(Uuid::NAMESPACE_DNS, "www.example.com");
    assert_eq!(id.to_string(), "5c146b14-3c52-8afd-938a-375d0df1fbf6");
}

#[test]
fn the_id_of_a_call_never_changes() {
    let run = RUN.parse().unwrap();
    for (calls, id) in [
        (&["greet", "greet#1", "greet#4294967295"][..], "5b7f72b4-7ed3-8995-bee3-393bc930ad9e"),
        (&["greet[0]", "greet[0]#2"], "0ec158e7-98f1-8184-93b2-c87e5713ec77"),
        (&["greet[7]", "greet[7]#1"], "a3de76a6-37da-8ef7-aad6-4e6453043642"),
        (&["greet[4294967295]"], "0f09e956-7fd5-8f7d-a264-771e42e45ea3"),
        (&["greet/catch"], "d3cf45a2-79f1-89d2-af17-7273d9c549e9"),
        (&["my-step_2"], "36612401-000d-8637-b4b3-cd01e0921136"),
    ] {
        for call in calls {
            let call: CallId = call.parse().unwrap();
            assert_eq!(call.id_in(run).to_string(), id, "{call}");
        }
    }
}

#[test]
fn a_run_has_its_requests_id_and_a_retried_request_starts_another_run() {
    let request: Uuid = RUN.parse().unwrap();
    assert_eq!(run_id(request, 0), request);
    assert_eq!(run_id(request, 1).to_string(), "e56cc2a1-39e0-8c0c-a32e-440aaef3474c");
    assert_eq!(run_id(request, 2).to_string(), "fe13e872-6d59-8b63-9ac1-50e7c6237865");
}
