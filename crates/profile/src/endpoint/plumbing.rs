//! What lies between a dispatcher and an endpoint and is neither: the standard library, frameworks, and
//! whatever wraps functions.
//!
//! Invariant: an application may be installed as packages are, so of packages only those named here are
//! passed over.

use crate::stacks::{Code, Frame};

/// What a line of code may be for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// No endpoint.
    Plumbing,
    /// The body of a module.
    Module,
    /// Called as decorators call what they put around a function: the endpoint only if it calls none.
    Wrapper,
    /// The application's.
    Own,
}

/// Top-level packages and modules that serve requests or tasks, or wrap who does.
const PACKAGES: &str = "\
    a2wsgi aiohttp aiohttp_jinja2 amqp anyio arq asgiref billiard blinker bottle.py celery cheroot \
    cherrypy daphne ddtrace decorator.py django dramatiq drf_spectacular elasticapm eventlet falcon \
    fastapi flask flask_cors flask_limiter flask_login flask_restful flask_restx gevent greenlet \
    gunicorn h11 huey hypercorn kombu litestar logfire meinheld newrelic ninja opentelemetry \
    prometheus_client pydantic pyramid quart raven redis rest_framework rq sanic sentry_sdk slowapi sniffio \
    starlette structlog tornado uvicorn uvloop vine waitress werkzeug whitenoise wrapt";

/// Names that decorators give to what they put around a function.
const WRAPPERS: &str = "\
    async_wrapper decorated decorated_function decorated_view decorator func_wrapper \
    function_wrapper inner inner_func inner_function inner_wrapper sync_wrapper view_wrapper wrap \
    wrapped wrapped_func wrapped_function wrapped_view wrapper wrapper_func wrapper_function \
    wrapper_view";

impl Standing {
    pub(super) fn of(frame: &Frame) -> Self {
        if frame.code == Code::Native || is_plumbing(&frame.file) {
            return Self::Plumbing;
        }
        let name = frame.function.rsplit('.').next().unwrap_or_default();
        if name == "<module>" {
            return Self::Module;
        }
        let name = name.trim_start_matches('_');
        if is_one_of(WRAPPERS, name) || name.ends_with("middleware") { Self::Wrapper } else { Self::Own }
    }
}

fn is_one_of(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|one| one == word)
}

fn is_plumbing(file: &str) -> bool {
    if file.is_empty() || file.starts_with('<') {
        return true;
    }
    let installed = ["/site-packages/", "/dist-packages/", ".whl/"].into_iter();
    let package =
        installed.filter_map(|folder| Some(file.rsplit_once(folder)?.1)).min_by_key(|path| path.len());
    match package {
        // Views of the administration and the like, but not what wraps others'.
        Some(path) if path.starts_with("django/contrib/") => {
            path.ends_with("/middleware.py") || path.ends_with("/decorators.py")
        }
        Some(path) => is_one_of(PACKAGES, path.split('/').next().unwrap_or_default()),
        None => is_of_the_standard_library(file),
    }
}

/// `/usr/lib/python3.11/threading.py`.
fn is_of_the_standard_library(file: &str) -> bool {
    let version = file.rsplit_once("/lib/python3.").and_then(|(_, rest)| rest.split_once('/'));
    version.is_some_and(|(minor, _)| minor.trim_end_matches('t').bytes().all(|byte| byte.is_ascii_digit()))
}
