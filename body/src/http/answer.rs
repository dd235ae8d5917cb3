//! Answers to requests.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

use super::{accept, scrape::Scrapes};
use crate::{health::BodyStatus, metrics::Lag};

const TEXT: &str = "text/plain; charset=utf-8";
const PATHS: &str = "here are /healthz, /readyz and /metrics\n";

/// The resources that clients can request.
pub(super) struct Site {
    status: Arc<BodyStatus>,
    scrapes: Scrapes,
}

impl Site {
    pub(super) fn new(status: Arc<BodyStatus>, lag: Arc<Lag>) -> Self {
        Self { scrapes: Scrapes::new(status.clone(), lag), status }
    }

    pub(super) async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
            return response(StatusCode::NOT_FOUND, TEXT, PATHS.into());
        }
        // To a HEAD hyper sends no body.
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused =
                response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "it can only be read: GET\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            // That it answers is the answer: the runtime turns.
            "/healthz" => response(StatusCode::OK, TEXT, "ok\n".into()),
            "/readyz" => self.ready(request.headers()),
            _ => self.metrics(request.headers()).await,
        }
    }

    fn ready(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let readiness = self.status.readiness();
        let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        match serde_json::to_vec(&readiness) {
            Ok(json) if accept::json(headers) => response(status, "application/json", json.into()),
            _ => response(status, TEXT, readiness.text().into()),
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let form = accept::form(headers);
        match self.scrapes.page(form).await {
            Some(page) => response(StatusCode::OK, form.media_type(), page),
            None => response(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                "the page was not written; see the log\n".into(),
            ),
        }
    }
}

fn response(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
