use super::*;

fn written(form: Form) -> String {
    let mut page = Page::new(form, 0);
    page.family("cbs_calls_total", Kind::Counter, "Calls.");
    page.sample_of(&labels(&[("cell", "a.b")]), ("outcome", "ok"), 3);
    page.family("cbs_build_info", Kind::Info, "The program.");
    page.sample(&labels(&[("version", "a \"b\\\n")]), true);
    page.one("cbs_lag_seconds", Kind::Gauge, "Late.", Seconds(1_000_000_020));
    String::from_utf8(page.finish()).unwrap_or_default()
}

#[test]
fn both_formats_name_a_family_as_they_must() {
    assert_eq!(
        written(Form::Prometheus),
        "# HELP cbs_calls_total Calls.\n# TYPE cbs_calls_total counter\ncbs_calls_total{cell=\"a.b\",outcome=\"ok\"} 3\n\
         # HELP cbs_build_info The program.\n# TYPE cbs_build_info gauge\ncbs_build_info{version=\"a \\\"b\\\\\\n\"} 1\n\
         # HELP cbs_lag_seconds Late.\n# TYPE cbs_lag_seconds gauge\ncbs_lag_seconds 1.000000020\n"
    );
    assert_eq!(
        written(Form::OpenMetrics),
        "# TYPE cbs_calls counter\n# HELP cbs_calls Calls.\ncbs_calls_total{cell=\"a.b\",outcome=\"ok\"} 3\n\
         # TYPE cbs_build info\n# HELP cbs_build The program.\ncbs_build_info{version=\"a \\\"b\\\\\\n\"} 1\n\
         # TYPE cbs_lag_seconds gauge\n# UNIT cbs_lag_seconds seconds\n# HELP cbs_lag_seconds Late.\n\
         cbs_lag_seconds 1.000000020\n# EOF\n"
    );
}
