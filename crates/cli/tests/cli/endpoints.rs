//! Requests and tasks told apart by their stacks: real frameworks under real servers, each endpoint asking
//! for as much as is known.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use slackwater_testkit::{agent_library, wheel};

use crate::record::slackwater as read;
use crate::validate_by;

/// What every endpoint calls, and a decorator as applications have them.
const STORE: &str = "
import functools
kept = []
def take(n_bytes):
    kept.append(bytes(n_bytes))
    return 'taken'
def checked(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper
";

/// A service that is recorded, in a folder of its own.
struct Recorded {
    folder: tempfile::TempDir,
    recorder: Child,
}

impl Recorded {
    fn start(program: &Path, words: &[&str], source: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("sw").tempdir().unwrap();
        fs::write(folder.path().join("store.py"), STORE).unwrap();
        fs::write(folder.path().join("shop.py"), source).unwrap();
        let recorder = Command::new(env!("CARGO_BIN_EXE_slackwater"))
            .args(["record", "--exact", "-o", "it.slackwater", "--"])
            .arg(program)
            .args(words)
            .current_dir(folder.path())
            .env("SLACKWATER_AGENT", agent_library().unwrap())
            .env("PYTHONPATH", folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("LD_PRELOAD")
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("said")).unwrap())
            .spawn()
            .unwrap();
        Self { folder, recorder }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap()
    }

    fn connect(&mut self) -> UnixStream {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(stream) = UnixStream::connect(self.folder.path().join("socket")) {
                return stream;
            }
            let ended = self.recorder.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "the server does not listen: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn get(&mut self, path: &str) {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}\n{}", self.said());
    }

    /// Ends the service, and what was said of its endpoints.
    fn end(mut self) -> Vec<Value> {
        let pid = rustix::process::Pid::from_child(&self.recorder);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.recorder.wait().unwrap();
        let (code, out, said) = read(self.folder.path(), &["stats", "--json", "it.slackwater"]);
        assert_eq!(code, 0, "{said}");
        let document: Value = serde_json::from_str(&out).unwrap();
        validate_by("record.stats.v1.json", &document);
        document["endpoints"].as_array().unwrap().clone()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // A test has failed: no server stays behind.
        let pid = rustix::process::Pid::from_child(&self.recorder);
        if matches!(self.recorder.try_wait(), Ok(None)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = self.recorder.wait();
        }
    }
}

/// Each endpoint asked for that many times a million bytes, and little more.
#[track_caller]
fn assert_endpoints(endpoints: &[Value], kind: &str, expected: &[(&str, &str, u64)]) {
    for &(framework, function, n_millions) in expected {
        let found = endpoints.iter().find(|one| {
            let endpoint = &one["endpoint"];
            // Qualified by what it is defined in.
            let name = endpoint["function"].as_str().unwrap_or_default();
            endpoint["framework"] == framework
                && (name == function || name.ends_with(&format!(".{function}")))
        });
        let found = found.unwrap_or_else(|| panic!("no {function} of {framework}: {endpoints:#?}"));
        assert_eq!(found["endpoint"]["kind"], kind);
        assert!(found["endpoint"]["file"].as_str().unwrap().ends_with("/shop.py"), "{found:#}");
        let bytes = found["allocated"]["bytes"].as_u64().unwrap();
        let least = n_millions * 1_000_000;
        assert!((least..least + 900_000).contains(&bytes), "{function}: {bytes}");
    }
    let large = endpoints.iter().filter(|one| one["allocated"]["bytes"].as_u64().unwrap() >= 1_000_000);
    let named = large.filter(|one| !one["endpoint"]["function"].is_null()).count();
    assert_eq!(named, expected.len(), "{endpoints:#?}");
}

/// Serves this application by gunicorn, and asks for each path twice.
fn gunicorn(words: &[&str], source: &str, paths: &[&str]) -> Option<Vec<Value>> {
    let mut all = vec!["--bind", "unix:socket", "--no-control-socket"];
    all.extend(words);
    all.push("shop:app");
    serve("gunicorn", &all, source, paths)
}

/// The same by uvicorn.
fn uvicorn(source: &str, paths: &[&str]) -> Option<Vec<Value>> {
    serve("uvicorn", &["--uds", "socket", "shop:app"], source, paths)
}

fn serve(server: &str, words: &[&str], source: &str, paths: &[&str]) -> Option<Vec<Value>> {
    let mut service = Recorded::start(&wheel(server)?, words, source);
    for path in paths.iter().chain(paths) {
        service.get(path);
    }
    Some(service.end())
}

#[test]
fn plain_applications_are_told_by_their_server() {
    let source = "
import store
def app(environ, start_response):
    start_response('200 OK', [])
    return [store.take(1_500_000).encode()]
";
    let Some(endpoints) = gunicorn(&[], source, &["/"]) else { return };
    assert_endpoints(&endpoints, "request", &[("gunicorn", "app", 3)]);
}

#[test]
fn flask_views_are_told_apart() {
    let source = "
import flask, flask.views, store
app = flask.Flask(__name__)
@app.before_request
def before():
    store.take(1_000_000)
@app.get('/large')
@store.checked
def large():
    return store.take(2_000_000)
class Items(flask.views.MethodView):
    def get(self):
        return store.take(1_000_000)
app.add_url_rule('/items', view_func=Items.as_view('items'))
@app.get('/stream')
def stream():
    def lines():
        yield store.take(1_000_000)
    return flask.Response(lines())
";
    let paths = ["/large", "/items", "/stream"];
    let Some(endpoints) = gunicorn(&["--threads", "2"], source, &paths) else { return };
    // What is streamed is asked for by the server.
    let expected = [("flask", "large", 4), ("flask", "get", 2), ("gunicorn", "lines", 2)];
    assert_endpoints(&endpoints, "request", &expected);
    let hook = endpoints
        .iter()
        .find(|one| one["endpoint"]["framework"] == "flask" && one["endpoint"]["function"].is_null());
    assert!(hook.unwrap()["allocated"]["bytes"].as_u64().unwrap() >= 6_000_000, "{endpoints:#?}");
}

const DJANGO: &str = "
import asyncio, django, store
from django.conf import settings
settings.configure(SECRET_KEY='none', ALLOWED_HOSTS=['*'], ROOT_URLCONF='shop', MIDDLEWARE=[
    'django.middleware.common.CommonMiddleware', 'shop.Timing'])
django.setup()
from django.http import HttpResponse
from django.urls import path
from django.views import View
from django.views.decorators.cache import never_cache
class Timing:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        return self.get_response(request)
@never_cache
@store.checked
def large(request):
    return HttpResponse(store.take(2_000_000))
class Items(View):
    def get(self, request):
        return HttpResponse(store.take(1_000_000))
async def later(request):
    await asyncio.sleep(0)
    return HttpResponse(store.take(1_000_000))
urlpatterns = [path('large', large), path('items', Items.as_view()), path('later', later)]
";

#[test]
fn django_views_are_told_apart() {
    let source = format!(
        "{DJANGO}\nfrom django.core.wsgi import get_wsgi_application\napp = get_wsgi_application()\n"
    );
    let Some(endpoints) = gunicorn(&[], &source, &["/large", "/items"]) else { return };
    assert_endpoints(&endpoints, "request", &[("django", "large", 4), ("django", "get", 2)]);
}

#[test]
fn django_views_are_told_apart_in_threads_and_coroutines() {
    let source = format!(
        "{DJANGO}\nfrom django.core.asgi import get_asgi_application\napp = get_asgi_application()\n"
    )
    .replace(", 'shop.Timing'", "");
    let Some(endpoints) = uvicorn(&source, &["/large", "/later"]) else { return };
    assert_endpoints(&endpoints, "request", &[("asgiref thread", "large", 4), ("django", "later", 2)]);
}

#[test]
fn fastapi_endpoints_are_told_from_their_dependencies() {
    let source = "
import asyncio, fastapi, store
app = fastapi.FastAPI()
async def user():
    return store.take(1_000_000)
@app.get('/later')
async def later(who = fastapi.Depends(user)):
    await asyncio.sleep(0)
    return store.take(1_000_000)
@app.get('/large')
def large():
    return store.take(2_000_000)
";
    let Some(endpoints) = uvicorn(source, &["/later", "/large"]) else { return };
    assert_endpoints(&endpoints, "request", &[("fastapi", "later", 2), ("fastapi", "large", 4)]);
}

#[test]
fn starlette_endpoints_are_told_apart() {
    let source = "
import store
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
class Timing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)
async def later(request):
    return PlainTextResponse(store.take(1_000_000), background=BackgroundTask(afterwards))
async def afterwards():
    store.take(3_000_000)
def large(request):
    return PlainTextResponse(store.take(2_000_000))
class Items(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse(store.take(1_000_000))
async def lines():
    yield store.take(1_000_000)
async def stream(request):
    return StreamingResponse(lines())
app = Starlette(
    routes=[Route('/later', later), Route('/large', large), Route('/items', Items), Route('/stream', stream)],
    middleware=[Middleware(Timing)])
";
    let paths = ["/later", "/large", "/items", "/stream"];
    let Some(endpoints) = uvicorn(source, &paths) else { return };
    let (tasks, requests): (Vec<_>, Vec<_>) =
        endpoints.into_iter().partition(|one| one["endpoint"]["kind"] == "task");
    assert_endpoints(&tasks, "task", &[("starlette", "afterwards", 6)]);
    let expected = [
        ("starlette", "later", 2),
        ("anyio thread", "large", 4),
        ("starlette", "get", 2),
        ("starlette", "lines", 2),
    ];
    assert_endpoints(&requests, "request", &expected);
}

#[test]
fn handlers_of_aiohttp_are_told_apart() {
    let source = "
import store
from aiohttp import web
@web.middleware
async def timing_middleware(request, handler):
    return await handler(request)
async def large(request):
    return web.Response(text=store.take(2_000_000))
async def items(request):
    return web.Response(text=store.take(1_000_000))
app = web.Application(middlewares=[timing_middleware])
app.add_routes([web.get('/large', large), web.get('/items', items)])
";
    let worker = ["--worker-class", "aiohttp.GunicornWebWorker"];
    let Some(endpoints) = gunicorn(&worker, source, &["/large", "/items"]) else { return };
    assert_endpoints(&endpoints, "request", &[("aiohttp", "large", 4), ("aiohttp", "items", 2)]);
}

#[test]
fn bottle_and_tornado_are_known() {
    let source = "
import bottle, store
app = bottle.Bottle()
@app.get('/large')
def large():
    return store.take(2_000_000)
";
    let Some(endpoints) = gunicorn(&[], source, &["/large"]) else { return };
    assert_endpoints(&endpoints, "request", &[("bottle", "large", 4)]);
    let source = "
import asyncio, store, tornado.httpserver, tornado.netutil, tornado.web
class Items(tornado.web.RequestHandler):
    async def get(self):
        self.write(store.take(1_000_000))
async def main():
    server = tornado.httpserver.HTTPServer(tornado.web.Application([('/items', Items)]))
    server.add_socket(tornado.netutil.bind_unix_socket('socket'))
    await asyncio.Event().wait()
asyncio.run(main())
";
    let Some(endpoints) = serve("python", &["shop.py"], source, &["/items"]) else { return };
    assert_endpoints(&endpoints, "request", &[("tornado", "get", 2)]);
}

#[test]
fn views_on_top_of_django_are_told_apart() {
    let source = "
import django, store
from django.conf import settings
settings.configure(SECRET_KEY='none', ALLOWED_HOSTS=['*'], ROOT_URLCONF='shop', REST_FRAMEWORK={
    'DEFAULT_AUTHENTICATION_CLASSES': [], 'DEFAULT_PERMISSION_CLASSES': [], 'UNAUTHENTICATED_USER': None})
django.setup()
from django.core.wsgi import get_wsgi_application
from django.urls import path
from ninja import NinjaAPI
from rest_framework.decorators import api_view
from rest_framework.response import Response
from rest_framework.views import APIView
api = NinjaAPI()
@api.get('/pets')
def pets(request):
    return store.take(3_000_000)
@api_view(['GET'])
def large(request):
    return Response(store.take(2_000_000))
class Items(APIView):
    def get(self, request):
        return Response(store.take(1_000_000))
urlpatterns = [path('large', large), path('items', Items.as_view()), path('api/', api.urls)]
app = get_wsgi_application()
";
    let Some(endpoints) = gunicorn(&[], source, &["/large", "/items", "/api/pets"]) else { return };
    assert_endpoints(
        &endpoints,
        "request",
        &[("django", "large", 4), ("django", "get", 2), ("django", "pets", 6)],
    );
}

#[test]
fn coroutines_of_quart_litestar_and_sanic_are_told_apart() {
    let source = "
import quart, store
app = quart.Quart(__name__)
@app.before_request
async def before():
    store.take(1_000_000)
@app.get('/large')
async def large():
    return store.take(2_000_000)
";
    let hypercorn = ["--bind", "unix:socket", "shop:app"];
    let Some(endpoints) = serve("hypercorn", &hypercorn, source, &["/large"]) else { return };
    assert_endpoints(&endpoints, "request", &[("quart", "large", 4)]);
    let source = "
import store
from litestar import Litestar, get
from litestar.di import Provide
async def user() -> str:
    return store.take(1_000_000)
@get('/large', dependencies={'who': Provide(user)})
async def large(who: str) -> str:
    return store.take(2_000_000)
app = Litestar([large])
";
    let Some(endpoints) = uvicorn(source, &["/large"]) else { return };
    assert_endpoints(&endpoints, "request", &[("litestar", "large", 4)]);
    // Sanic listens before it is ready, and never answers what it is asked then.
    let source = "
import os, sanic, store
app = sanic.Sanic('shop')
@app.after_server_start
async def ready(app):
    os.symlink('early', 'socket')
@app.on_request
async def before(request):
    store.take(1_000_000)
@app.get('/large')
async def large(request):
    return sanic.text(store.take(2_000_000))
@app.get('/items')
def items(request):
    return sanic.text(store.take(1_000_000))
if __name__ == '__main__':
    app.run(unix='early', single_process=True, motd=False)
";
    let Some(endpoints) = serve("python", &["shop.py"], source, &["/large", "/items"]) else { return };
    assert_endpoints(&endpoints, "request", &[("sanic", "large", 4), ("sanic", "items", 2)]);
}

#[test]
fn views_of_pyramid_are_told_apart() {
    let source = "
import store
from pyramid.config import Configurator
from pyramid.response import Response
def large(request):
    return Response(store.take(2_000_000))
with Configurator() as config:
    config.add_route('large', '/large')
    config.add_view(large, route_name='large')
    app = config.make_wsgi_app()
";
    let waitress = ["--unix-socket=socket", "shop:app"];
    let Some(endpoints) = serve("waitress-serve", &waitress, source, &["/large"]) else { return };
    assert_endpoints(&endpoints, "request", &[("pyramid", "large", 4)]);
}

/// Does what is queued by a program until it says that all is done.
fn work(source: &str) -> Option<Vec<Value>> {
    let source = format!("{source}\nopen('done', 'w').close()\nimport time\ntime.sleep(60)\n");
    let service = Recorded::start(&wheel("python")?, &["-c", "import shop"], &source);
    let end = Instant::now() + Duration::from_secs(60);
    while !service.folder.path().join("done").exists() {
        assert!(Instant::now() < end, "the tasks were not done: {}", service.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(service.end())
}

#[test]
fn tasks_of_rq_dramatiq_and_huey_are_told_apart() {
    let rq = "
import store
from fakeredis import FakeStrictRedis
from rq import Queue, SimpleWorker
def large():
    store.take(2_000_000)
if __name__ == 'shop':
    queue = Queue(connection=FakeStrictRedis())
    queue.enqueue(large)
    queue.enqueue(large)
    SimpleWorker([queue], connection=queue.connection).work(burst=True)
";
    let dramatiq = "
import dramatiq, store
from dramatiq.brokers.stub import StubBroker
broker = StubBroker()
dramatiq.set_broker(broker)
@dramatiq.actor
def large():
    store.take(2_000_000)
worker = dramatiq.Worker(broker, worker_timeout=100)
worker.start()
large.send()
large.send()
broker.join(large.queue_name)
worker.join()
";
    let huey = "
import huey, store
queue = huey.MemoryHuey()
@queue.task()
def large():
    store.take(2_000_000)
for _ in range(2):
    large()
    queue.execute(queue.dequeue())
";
    for (framework, source) in [("rq", rq), ("dramatiq", dramatiq), ("huey", huey)] {
        let Some(endpoints) = work(source) else { return };
        assert_endpoints(&endpoints, "task", &[(framework, "large", 4)]);
    }
}

#[test]
fn tasks_of_celery_are_told_apart() {
    let source = "
import os, store
from celery import Celery
app = Celery('shop', broker='filesystem://')
folders = dict.fromkeys(('data_folder_in', 'data_folder_out', 'control_folder'), 'messages')
app.conf.update(broker_transport_options={**folders, 'polling_interval': 0.02}, broker_connection_retry_on_startup=True)
os.makedirs('messages', exist_ok=True)
@app.task
def large():
    store.take(2_000_000)
@app.task(autoretry_for=(KeyError,))
def items():
    store.take(1_000_000)
    open('done', 'a').write('x')
";
    let (Some(celery), Some(python)) = (wheel("celery"), wheel("python")) else { return };
    let words = ["-A", "shop", "worker", "--concurrency", "1", "--without-gossip", "--without-mingle"];
    let service = Recorded::start(&celery, &words, source);
    let sent = Command::new(python)
        .args([
            "-c",
            "import shop; [task.delay() for task in (shop.large, shop.large, shop.items, shop.items)]",
        ])
        .current_dir(service.folder.path())
        .status()
        .unwrap();
    assert!(sent.success());
    let end = Instant::now() + Duration::from_secs(60);
    while !fs::read(service.folder.path().join("done")).is_ok_and(|done| done.len() == 2) {
        assert!(Instant::now() < end, "the tasks were not done: {}", service.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    let endpoints = service.end();
    assert_endpoints(&endpoints, "task", &[("celery", "large", 4), ("celery", "items", 2)]);
}
