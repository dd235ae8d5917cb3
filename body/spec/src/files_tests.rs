use super::is_spec;

#[test]
fn a_spec_has_the_key_and_a_text_that_mentions_it_has_not() {
    for text in [
        "apiVersion: cbs/v1alpha1\n",
        "\u{feff}apiVersion: cbs/v1alpha1",
        "kind: Cell\n\"apiVersion\": 'cbs/v1'",
        "- apiVersion: cbs/v1",
        "{\"kind\": \"Cell\", \"apiVersion\" : \"cbs/v1\"}",
    ] {
        assert!(is_spec(text), "{text}");
    }
    for text in [
        "",
        "# apiVersion: cbs/v1alpha1",
        "apiVersion: apps/v1",
        "prompt: write a spec that begins with apiVersion: cbs/v1alpha1",
        "myapiVersion: cbs/v1",
    ] {
        assert!(!is_spec(text), "{text}");
    }
}
