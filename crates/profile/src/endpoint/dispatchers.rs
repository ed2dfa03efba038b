//! The functions by which servers, frameworks and queues call an endpoint.
//!
//! Read in the sources of gunicorn 27, uvicorn 0.54, hypercorn 0.18, waitress 3.0, cheroot 11.1, werkzeug 3.1,
//! CPython's wsgiref, flask 3.1, quart 0.22, django 5.2, djangorestframework 3.18, asgiref 3.13, starlette 1.10,
//! fastapi 0.165, anyio 4.16, aiohttp 3.14, tornado 6.6, sanic 25.12, bottle 0.13, litestar 2.25,
//! pyramid 2.1, celery 5.7, rq 3.0, dramatiq 2.2 and huey 3.5.
//!
//! Invariant: a table. A function that a framework renames costs a label, and never makes a wrong one.

use super::Kind;

/// What a function calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Calls {
    /// The endpoint, if only by way of what wraps it.
    Endpoint,
    /// The framework's own affairs, hooks and dependencies, and in the end another function of this table.
    Framework,
}

/// A function that serves.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Dispatcher {
    /// Whose it is.
    pub(super) framework: &'static str,
    /// The end of its file's path; a part of it where it ends with `/`.
    file: &'static str,
    /// Its name, the last part of a qualified one.
    function: &'static str,
    /// What it calls.
    pub(super) calls: Calls,
    /// What it serves.
    pub(super) kind: Kind,
    /// The end of the path of the file that must have called it, where its name alone says too little.
    on: &'static str,
}

impl Dispatcher {
    /// Whether it is one when a line of this file has called it.
    pub(super) fn may_lie_on(&self, file: &str) -> bool {
        file.ends_with(self.on)
    }

    fn is(&self, function: &str, file: &str) -> bool {
        let is_file =
            if self.file.ends_with('/') { file.contains(self.file) } else { file.ends_with(self.file) };
        is_file && last_part(function, self.function)
    }
}

/// Whether a name is this one, or a qualified one that ends with it.
fn last_part(name: &str, part: &str) -> bool {
    name.strip_suffix(part).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The entry for a function; the first, of several.
pub(super) fn of(function: &str, file: &str) -> Option<&'static Dispatcher> {
    DISPATCHERS.iter().find(|dispatcher| dispatcher.is(function, file))
}

const fn endpoint(framework: &'static str, file: &'static str, function: &'static str) -> Dispatcher {
    Dispatcher { framework, file, function, calls: Calls::Endpoint, kind: Kind::Request, on: "" }
}

const fn within(framework: &'static str, file: &'static str, function: &'static str) -> Dispatcher {
    Dispatcher { framework, file, function, calls: Calls::Framework, kind: Kind::Request, on: "" }
}

const fn task(framework: &'static str, file: &'static str, function: &'static str) -> Dispatcher {
    Dispatcher { framework, file, function, calls: Calls::Endpoint, kind: Kind::Task, on: "" }
}

const fn called_by(dispatcher: Dispatcher, on: &'static str) -> Dispatcher {
    Dispatcher { on, ..dispatcher }
}

/// Of several that fit, the first counts.
static DISPATCHERS: [Dispatcher; 54] = [
    // Servers: what they call is the whole application.
    endpoint("gunicorn", "/gunicorn/workers/", "handle_request"),
    endpoint("gunicorn", "/gunicorn/workers/", "handle_http2_request"),
    endpoint("gunicorn", "/gunicorn/asgi/protocol.py", "_handle_http_request"),
    endpoint("gunicorn", "/gunicorn/asgi/protocol.py", "_handle_http2_request"),
    endpoint("gunicorn", "/gunicorn/asgi/websocket.py", "run"),
    endpoint("uvicorn", "/uvicorn/protocols/", "run_asgi"),
    endpoint("hypercorn", "/hypercorn/app_wrappers.py", "__call__"),
    endpoint("hypercorn", "/hypercorn/app_wrappers.py", "run_app"),
    endpoint("waitress", "/waitress/task.py", "execute"),
    endpoint("cheroot", "/cheroot/wsgi.py", "respond"),
    endpoint("werkzeug", "/werkzeug/serving.py", "run_wsgi"),
    endpoint("wsgiref", "/wsgiref/handlers.py", "run"),
    // Flask and Quart.
    within("flask", "/flask/app.py", "wsgi_app"),
    endpoint("flask", "/flask/app.py", "dispatch_request"),
    within("quart", "/quart/app.py", "handle_request"),
    within("quart", "/quart/app.py", "handle_websocket"),
    endpoint("quart", "/quart/app.py", "dispatch_request"),
    endpoint("quart", "/quart/app.py", "dispatch_websocket"),
    // Django.
    within("django", "/django/core/handlers/wsgi.py", "__call__"),
    within("django", "/django/core/handlers/asgi.py", "handle"),
    endpoint("django", "/django/core/handlers/base.py", "_get_response"),
    endpoint("django", "/django/core/handlers/base.py", "_get_response_async"),
    within("rest_framework", "/rest_framework/views.py", "initial"),
    // Starlette and FastAPI, whose dependencies are no endpoints.
    within("starlette", "/starlette/applications.py", "__call__"),
    endpoint("starlette", "/starlette/routing.py", "handle"),
    endpoint("starlette", "/starlette/endpoints.py", "dispatch"),
    endpoint("starlette", "/starlette/responses.py", "stream_response"),
    task("starlette", "/starlette/background.py", "__call__"),
    within("fastapi", "/fastapi/dependencies/utils.py", "solve_dependencies"),
    endpoint("fastapi", "/fastapi/routing.py", "get_websocket_app.<locals>.app"),
    within("fastapi", "/fastapi/routing.py", "app"),
    endpoint("fastapi", "/fastapi/routing.py", "run_endpoint_function"),
    endpoint("fastapi", "/fastapi/telemetry/_api.py", "_run_sync_endpoint"),
    // Threads on behalf of coroutines: nearly always an endpoint that is no coroutine itself.
    called_by(endpoint("anyio thread", "/anyio/_backends/_asyncio.py", "run"), "/threading.py"),
    endpoint("asgiref thread", "/asgiref/sync.py", "thread_handler"),
    endpoint("asgiref thread", "/asgiref/sync.py", "main_wrap"),
    // Others.
    within("aiohttp", "/aiohttp/web_protocol.py", "start"),
    endpoint("aiohttp", "/aiohttp/web_app.py", "_handle"),
    endpoint("tornado", "/tornado/web.py", "_execute"),
    // Sanic compiles these anew when it starts, and names the file of each after it.
    within("sanic", "_run_request_middleware", "_run_request_middleware"),
    within("sanic", "_run_response_middleware", "_run_response_middleware"),
    called_by(within("sanic", "handle_exception", "handle_exception"), "handle_request"),
    called_by(endpoint("sanic", "handle_request", "handle_request"), "/sanic/http/http1.py"),
    endpoint("bottle", "/bottle.py", "_handle"),
    within("litestar", "/litestar/app.py", "__call__"),
    within("litestar", "/litestar/_kwargs/kwargs_model.py", "resolve_dependencies"),
    endpoint("litestar", "/litestar/routes/http.py", "_call_handler_function"),
    within("pyramid", "/pyramid/router.py", "__call__"),
    endpoint("pyramid", "/pyramid/view.py", "_call_view"),
    // Queues.
    task("celery", "/celery/app/trace.py", "trace_task"),
    task("rq", "/rq/job.py", "_execute"),
    task("dramatiq", "/dramatiq/worker.py", "process_message"),
    task("huey", "/huey/api.py", "execute"),
    task("huey", "/huey/api.py", "_execute"),
];
