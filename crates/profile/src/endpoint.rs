//! The request or task that a stack served, told from the stack alone.
//!
//! ```text
//! gunicorn handle_request ─▶ flask wsgi_app ─▶ flask dispatch_request ─▶ a decorator ─▶ products
//! a server                   a framework       it calls the endpoint     passed over    the endpoint
//! ```
//!
//! Which functions of which frameworks those are is a table, `dispatchers`. The innermost of them counts:
//! a framework within a server, and an application within a framework, know better.
//!
//! Invariant: nothing but names of functions and files is looked at. A request whose endpoint is not on the
//! stack is told as that; a stack without any dispatcher, of a thread that an endpoint started, say, is not
//! guessed about.

mod dispatchers;
mod plumbing;

use std::collections::HashMap;

use self::dispatchers::{Calls, Dispatcher};
use self::plumbing::Standing;
use crate::stacks::{Code, Frame, StackId, Stacks};

/// What is served.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A request, by the web.
    Request,
    /// A task, out of a queue.
    Task,
}

impl Kind {
    /// What programs call it.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Task => "task",
        }
    }
}

/// What answers a request or does a task.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    /// What is served.
    pub kind: Kind,
    /// Who called it: a framework, or a server where there is none.
    pub framework: &'static str,
    /// The function and its file. `None` for what the framework does before and after.
    pub place: Option<(String, String)>,
}

/// The endpoints of all stacks.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    all: Vec<Endpoint>,
    /// Of each stack but the empty one.
    of_stacks: Vec<Option<u32>>,
}

impl Endpoints {
    pub(crate) fn of(stacks: &Stacks) -> Self {
        let frames: Vec<Looked<'_>> = stacks.distinct_frames().iter().map(Looked::at).collect();
        let mut endpoints = Self::default();
        let mut ids: HashMap<Endpoint, u32> = HashMap::new();
        let mut ways: HashMap<Way, Option<u32>> = HashMap::new();
        // Callers come before callees.
        let mut states: Vec<State> = Vec::with_capacity(stacks.len());
        for number in 1..=stacks.len() {
            let Some((caller, frame)) = stacks.node(StackId(number as u32)) else { break };
            let before = (caller.0 as usize).checked_sub(1).and_then(|place| states.get(place).copied());
            let state = before.unwrap_or_default().step(&frames, frame);
            states.push(state);
            let id = *ways.entry(state.way).or_insert_with(|| {
                let endpoint = state.way.endpoint(&frames)?;
                let next = endpoints.all.len() as u32;
                Some(*ids.entry(endpoint.clone()).or_insert_with(|| {
                    endpoints.all.push(endpoint);
                    next
                }))
            });
            endpoints.of_stacks.push(id);
        }
        endpoints
    }

    /// The number of a stack's endpoint among [`Endpoints::all`].
    #[must_use]
    pub fn id(&self, stack: StackId) -> Option<usize> {
        let id = *self.of_stacks.get((stack.0 as usize).checked_sub(1)?)?;
        id.map(|id| id as usize)
    }

    /// The endpoint of a stack.
    #[must_use]
    pub fn get(&self, stack: StackId) -> Option<&Endpoint> {
        self.all.get(self.id(stack)?)
    }

    /// Each once.
    #[must_use]
    pub fn all(&self) -> &[Endpoint] {
        &self.all
    }
}

/// What a line of code is in this respect.
struct Looked<'a> {
    frame: &'a Frame,
    dispatcher: Option<&'static Dispatcher>,
    standing: Standing,
}

impl<'a> Looked<'a> {
    fn at(frame: &'a Frame) -> Self {
        let dispatcher =
            (frame.code == Code::Python).then(|| dispatchers::of(&frame.function, &frame.file)).flatten();
        Self { frame, dispatcher, standing: Standing::of(frame) }
    }
}

/// What is known of a stack's endpoint, as places of frames.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Way {
    dispatcher: Option<usize>,
    endpoint: Option<usize>,
}

impl Way {
    fn endpoint(self, frames: &[Looked<'_>]) -> Option<Endpoint> {
        let dispatcher = frames.get(self.dispatcher?)?.dispatcher?;
        let place = self.endpoint.and_then(|place| frames.get(place));
        let place = place.map(|looked| (looked.frame.function.clone(), looked.frame.file.clone()));
        Some(Endpoint { kind: dispatcher.kind, framework: dispatcher.framework, place })
    }
}

/// What is known on the way from the outermost frame inwards.
#[derive(Clone, Copy, Default)]
struct State {
    way: Way,
    /// Whether callees may still be the endpoint.
    is_open: bool,
    /// The line of Python's below.
    below: Option<usize>,
}

impl State {
    fn step(self, frames: &[Looked<'_>], place: usize) -> Self {
        let Some(looked) = frames.get(place) else { return self };
        if looked.frame.code == Code::Native {
            return self;
        }
        let below = self.below.and_then(|place| frames.get(place)).map_or("", |one| &one.frame.file);
        let at = Self { below: Some(place), ..self };
        if let Some(dispatcher) = looked.dispatcher.filter(|dispatcher| dispatcher.may_lie_on(below)) {
            let way = Way { dispatcher: Some(place), endpoint: None };
            return Self { way, is_open: dispatcher.calls == Calls::Endpoint, ..at };
        }
        if !self.is_open {
            return at;
        }
        let found = Way { endpoint: Some(place), ..self.way };
        match looked.standing {
            Standing::Plumbing => at,
            // Loaded by the first request that needs it.
            Standing::Module => Self { is_open: false, ..at },
            Standing::Wrapper => Self { way: found, ..at },
            Standing::Own => Self { way: found, is_open: false, ..at },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "/srv/venv/lib/python3.11/site-packages";

    /// The endpoint of a stack, outermost frame first, as `function file` with `@` for site-packages.
    #[track_caller]
    fn check(stack: &[&str], expected: &str) {
        let mut stacks = Stacks::default();
        let mut id = StackId::default();
        for (line, one) in (1..).zip(stack) {
            let (function, file) = one.split_once(' ').unwrap();
            let code = if file.ends_with(".c") { Code::Native } else { Code::Python };
            let (function, file) = (function.to_owned(), file.replace('@', SITE));
            id = stacks.on_top_of(id, &Frame { function, file, line, code });
        }
        let endpoints = Endpoints::of(&stacks);
        let shown = endpoints.get(id).map_or("none".to_owned(), |endpoint| {
            let place = endpoint.place.as_ref().map_or("-", |(function, _)| function);
            format!("{} {place}", endpoint.framework)
        });
        assert_eq!(shown, expected, "{stack:?}");
    }

    #[test]
    fn the_innermost_dispatcher_knows_best() {
        let gunicorn = "SyncWorker.handle_request @/gunicorn/workers/sync.py";
        check(&[gunicorn, "app /srv/plain.py", "work /srv/plain.py"], "gunicorn app");
        let middleware = "Timing.__call__ /srv/middleware.py";
        let flask = "Flask.wsgi_app @/flask/app.py";
        check(&[gunicorn, middleware, flask], "flask -");
        check(&[gunicorn, middleware, flask, "load_user /srv/shop.py"], "flask -");
        let dispatch = "Flask.dispatch_request @/flask/app.py";
        check(&[gunicorn, flask, dispatch, "products /srv/shop.py", "query /srv/store.py"], "flask products");
        // Before CPython 3.11 names are not qualified.
        check(&["wsgi_app @/flask/app.py", "dispatch_request @/flask/app.py", "a /srv/a.py"], "flask a");
        check(&["main /srv/batch.py", "work /srv/batch.py"], "none");
        check(&["dispatch_request /srv/mine.py", "work /srv/mine.py"], "none");
    }

    #[test]
    fn what_lies_between_is_passed_over() {
        let dispatch = "Flask.dispatch_request @/flask/app.py";
        let packages = "wrapper @/sentry_sdk/integrations/flask.py";
        let context = "ContextDecorator.__call__ /usr/lib/python3.11/contextlib.py";
        let own = "login_required.<locals>.wrapper /srv/auth.py";
        check(&[dispatch, packages, context, own, "orders /srv/shop.py"], "flask orders");
        check(&[dispatch, own], "flask login_required.<locals>.wrapper");
        check(
            &[dispatch, "view @/flask/views.py", "Items.get /srv/shop.py", "f /srv/f.py"],
            "flask Items.get",
        );
        check(&[dispatch, "vectorcall object.c", "orders /srv/shop.py"], "flask orders");
        // An application may be installed as packages are.
        check(&[dispatch, "explore @/superset/views/core.py", "limit /etc/config.py"], "flask explore");
        let importing =
            ["_find_and_load <frozen importlib._bootstrap>", "<module> /srv/late.py", "f /srv/late.py"];
        check(&[&[dispatch], &importing[..]].concat(), "flask -");
        check(&[&[dispatch, "orders /srv/shop.py"], &importing[..]].concat(), "flask orders");
    }

    #[test]
    fn coroutines_threads_and_tasks_have_theirs() {
        let starlette = "Starlette.__call__ @/starlette/applications.py";
        let route = "Route.handle @/starlette/routing.py";
        let app = "request_response.<locals>.app @/starlette/routing.py";
        check(
            &["RequestResponseCycle.run_asgi @/uvicorn/protocols/http/h11_impl.py", "app /srv/asgi.py"],
            "uvicorn app",
        );
        check(&[starlette, "Timing.dispatch /srv/middleware.py"], "starlette -");
        check(&[starlette, route, app, "orders /srv/shop.py"], "starlette orders");
        let fast = "get_request_handler.<locals>.app @/fastapi/routing.py";
        check(
            &[starlette, route, app, fast, "solve @/fastapi/dependencies/utils.py", "db /srv/db.py"],
            "fastapi -",
        );
        let run = "run_endpoint_function @/fastapi/routing.py";
        check(&[starlette, route, app, fast, run, "orders /srv/shop.py"], "fastapi orders");
        let thread = "_bootstrap_inner /usr/lib/python3.11/threading.py";
        let pool = "WorkerThread.run @/anyio/_backends/_asyncio.py";
        check(&[thread, pool, "orders /srv/shop.py"], "anyio thread orders");
        check(&["main /srv/main.py", "run @/anyio/_backends/_asyncio.py", "serve /srv/main.py"], "none");
        let task = [
            "build_tracer.<locals>.trace_task @/celery/app/trace.py",
            "__protected_call__ @/celery/app/trace.py",
        ];
        check(&[&task[..], &["export /srv/tasks.py"]].concat(), "celery export");
        let django = "BaseHandler._get_response @/django/core/handlers/base.py";
        check(
            &[django, "View.dispatch @/django/views/generic/base.py", "Items.get /srv/views.py"],
            "django Items.get",
        );
        let sanic = ["Http.http1 @/sanic/http/http1.py", "handle_request handle_request"];
        check(&[&sanic[..], &["orders /srv/shop.py"]].concat(), "sanic orders");
        let before = ["_run_request_middleware _run_request_middleware", "user /srv/shop.py"];
        check(&[&sanic[..], &before].concat(), "sanic -");
        check(&["main /srv/main.py", "handle_request handle_request", "orders /srv/shop.py"], "none");
        let admin = "AdminSite.admin_view.<locals>.inner @/django/contrib/admin/sites.py";
        check(
            &[django, admin, "ModelAdmin.changelist_view @/django/contrib/admin/options.py"],
            "django ModelAdmin.changelist_view",
        );
    }
}
