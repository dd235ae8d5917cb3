//! Settings of the telemetry: from flags, from CBS's own variables, from OpenTelemetry's variables.
//!
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>,
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>

use std::{env, time::Duration};

use clap::ValueEnum;

use super::otlp::Endpoint;
use crate::{exit::Failure, output};

/// Default time after which a call is recorded even if it was not sampled.
const SLOW_DEFAULT: Duration = Duration::from_secs(1);

/// Telemetry flags of a body.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Telemetry")]
#[group(skip)]
pub(crate) struct Flags {
    /// Record calls and time them, or do nothing of the kind
    #[arg(long, env = "CBS_TELEMETRY", value_enum, default_value_t, hide_env_values = true)]
    telemetry: Switch,
    /// The share of traces that are recorded whole, from 0 to 1; calls that fail or are slow always
    /// are [default: 0.01, of `dev` 1; OTEL_TRACES_SAMPLER is understood]
    #[arg(long, env = "CBS_TRACE_RATIO", value_name = "RATIO", value_parser = unless_empty(ratio), hide_env_values = true)]
    trace_ratio: Option<Optional<f64>>,
    /// Calls that take longer are recorded though they were not sampled [default: 1s]
    #[arg(long, env = "CBS_TRACE_SLOW", value_name = "TIME", value_parser = unless_empty(crate::cli::duration), hide_env_values = true)]
    trace_slow: Option<Optional<Duration>>,
    /// An OTLP receiver (gRPC) for spans, for example http://127.0.0.1:4317 [default:
    /// OTEL_EXPORTER_OTLP_ENDPOINT, else none]; headers come from OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Send the lines of the log there, too
    #[arg(long, env = "CBS_OTLP_LOGS", value_parser = clap::builder::FalseyValueParser::new(), hide_env_values = true)]
    otlp_logs: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Switch {
    #[default]
    #[value(alias = "")]
    On,
    Off,
}

/// Value of a flag whose variable may be empty. An empty variable counts as unset: charts and
/// compose files set variables that their user left out.
type Optional<T> = Option<T>;

fn unless_empty<T>(
    read: impl Fn(&str) -> Result<T, String> + Clone,
) -> impl Fn(&str) -> Result<Optional<T>, String> + Clone {
    move |text| if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

/// Settings that were read and checked.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) on: bool,
    pub(super) ratio: f64,
    pub(super) slow: Duration,
    pub(super) traces: Option<Endpoint>,
    pub(super) logs: Option<Endpoint>,
}

impl Flags {
    /// Reads the settings. `ratio_default` is the share of traces if nothing else sets it.
    ///
    /// # Errors
    /// A usage error: the receiver's address or the headers are invalid.
    pub(super) fn wanted(&self, ratio_default: f64) -> Result<Wanted, Failure> {
        self.wanted_in(ratio_default, &|name| {
            env::var(name).ok().filter(|value| !value.trim().is_empty())
        })
    }

    fn wanted_in(
        &self,
        ratio_default: f64,
        var: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Wanted, Failure> {
        let is = |name: &str, value: &str| {
            var(name).is_some_and(|found| found.trim().eq_ignore_ascii_case(value))
        };
        let on = self.telemetry == Switch::On;
        let ratio = self.trace_ratio.flatten().or_else(|| sampler(var)).unwrap_or(ratio_default);
        let slow = self.trace_slow.flatten().unwrap_or(SLOW_DEFAULT);
        if is("OTEL_SDK_DISABLED", "true") {
            return Ok(Wanted { on, ratio, slow, traces: None, logs: None });
        }
        let traces = match is("OTEL_TRACES_EXPORTER", "none") && self.otlp.is_none() {
            true => None,
            false => self.endpoint("TRACES", var)?.filter(|_| on),
        };
        let logs = match self.otlp_logs || is("OTEL_LOGS_EXPORTER", "otlp") {
            true => self.endpoint("LOGS", var)?,
            false => None,
        };
        Ok(Wanted { on, ratio, slow, traces, logs })
    }

    /// Returns the endpoint: from the flag first, then from the signal's own variable, then from
    /// the variable for all signals.
    fn endpoint(
        &self,
        signal: &str,
        var: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Endpoint>, Failure> {
        let of_signal = |what: &str| format!("OTEL_EXPORTER_OTLP_{signal}_{what}");
        let for_all = |what: &str| format!("OTEL_EXPORTER_OTLP_{what}");
        let found = |what: &str| var(&of_signal(what)).or_else(|| var(&for_all(what)));
        let Some(url) =
            self.otlp.clone().filter(|url| !url.is_empty()).or_else(|| found("ENDPOINT"))
        else {
            return Ok(None);
        };
        if let Some(protocol) = found("PROTOCOL").filter(|protocol| protocol != "grpc") {
            let protocol = output::sanitize(&protocol);
            output::warn(format_args!(
                "OTLP is sent by gRPC; OTEL_EXPORTER_OTLP_PROTOCOL asks for {protocol}"
            ));
        }
        Endpoint::new(&url, found("HEADERS").as_deref()).map(Some).map_err(Failure::usage)
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let wrong = || "write a share from 0 to 1, for example 0.01".to_owned();
    text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(wrong)
}

/// Returns the ratio that `OTEL_TRACES_SAMPLER` sets. A caller's decision applies to the calls
/// below it: all samplers are `parentbased`.
fn sampler(var: &dyn Fn(&str) -> Option<String>) -> Option<f64> {
    let name = var("OTEL_TRACES_SAMPLER")?;
    match name.trim().trim_start_matches("parentbased_") {
        "always_on" => Some(1.0),
        "always_off" => Some(0.0),
        "traceidratio" => Some(
            var("OTEL_TRACES_SAMPLER_ARG").and_then(|arg| ratio(arg.trim()).ok()).unwrap_or(1.0),
        ),
        other => {
            output::warn(format_args!(
                "OTEL_TRACES_SAMPLER: unknown value `{}`",
                output::sanitize(other)
            ));
            None
        }
    }
}

#[cfg(test)]
#[path = "flags_tests.rs"]
mod tests;
