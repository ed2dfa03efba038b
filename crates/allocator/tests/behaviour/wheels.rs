//! Wheels with native code, imported and used; some of them bring an allocator of their own.

use std::process::Command;

use slackwater_testkit::wheel;

use crate::preload::{library, output};

/// The wheel, and a use of it whose result is known.
const USES: &[(&str, &str, &str)] = &[
    (
        "numpy",
        "import numpy as n; a = n.arange(4_000_000.); print(int((a @ a) // 1e19), n.linalg.inv(n.eye(300)).sum())",
        "2 300.0",
    ),
    (
        "pandas",
        "import pandas as p; f = p.DataFrame({'k': [i % 7 for i in range(200_000)], 'v': range(200_000)}); print(f.groupby('k').v.sum().sum(), f.to_csv().count(chr(10)))",
        "19999900000 200001",
    ),
    (
        "polars",
        "import polars as p; f = p.DataFrame({'k': [i % 7 for i in range(200_000)], 'v': range(200_000)}); print(f.group_by('k').agg(p.col('v').sum())['v'].sum())",
        "19999900000",
    ),
    (
        "pyarrow",
        "import pyarrow as a, pyarrow.compute as c, pyarrow.parquet as q, io; t = a.table({'v': list(range(100_000))}); b = io.BytesIO(); q.write_table(t, b); print(c.sum(q.read_table(b)['v']), len(a.supported_memory_backends()) > 1)",
        "4999950000 True",
    ),
    (
        "orjson",
        "import orjson as o; d = {str(i): list(range(i % 20)) for i in range(20_000)}; print(o.loads(o.dumps(d)) == d)",
        "True",
    ),
    (
        "lxml",
        "from lxml import etree as e; r = e.fromstring('<a>' + '<b c=\"1\">x</b>' * 20_000 + '</a>'); print(len(r.xpath('//b[@c=1]')), len(e.tostring(r)))",
        "20000 280007",
    ),
    (
        "cryptography",
        "from cryptography.fernet import Fernet as F; from cryptography.hazmat.primitives.asymmetric import rsa; f = F(F.generate_key()); print(f.decrypt(f.encrypt(b'x' * 1_000_000)) == b'x' * 1_000_000, rsa.generate_private_key(65537, 2048).key_size)",
        "True 2048",
    ),
    ("uvloop", UVLOOP, "200 2000000"),
    ("grpcio", GRPC, "50 500000"),
    ("fastapi", FASTAPI, "200 10000"),
];

const UVLOOP: &str = r#"
import asyncio, uvloop
async def main():
    async def echo(reader, writer):
        writer.write(await reader.readexactly(10_000)); await writer.drain(); writer.close()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async def ask():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 10_000)
        answer = await reader.read(-1)
        writer.close()
        return len(answer)
    answers = await asyncio.gather(*(ask() for _ in range(200)))
    print(len(answers), sum(answers))
uvloop.run(main())
"#;

const GRPC: &str = r#"
import grpc
from concurrent.futures import ThreadPoolExecutor
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)
server = grpc.server(ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((Echo(),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    call = channel.unary_unary("/echo/echo")
    answers = [len(call(b"x" * 10_000)) for _ in range(50)]
print(len(answers), sum(answers))
server.stop(None)
"#;

const FASTAPI: &str = r#"
import asyncio, fastapi, json
app = fastapi.FastAPI()
@app.get("/items")
def items(n: int): return [{"id": i, "name": f"item {i}"} for i in range(n)]
async def main():
    sent = []
    async def receive(): return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message): sent.append(message)
    await app({"type": "http", "method": "GET", "path": "/items", "raw_path": b"/items", "root_path": "",
               "query_string": b"n=10000", "headers": [], "http_version": "1.1", "scheme": "http",
               "server": ("localhost", 80), "client": ("localhost", 1)}, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    print(sent[0]["status"], len(json.loads(body)))
asyncio.run(main())
"#;

fn run(code: &str, malloc: &str) -> (String, String) {
    let Some(python) = wheel("python") else { return (String::new(), String::new()) };
    let mut command = Command::new(python);
    command.args(["-c", code]).env("LD_PRELOAD", library()).env("PYTHONMALLOC", malloc);
    let (text, diagnostics, status) = output(&mut command);
    (text.trim().to_owned(), format!("{status:?} {diagnostics}"))
}

#[test]
fn fault_26_each_wheel_is_imported_and_used() {
    if wheel("python").is_none() {
        return;
    }
    for (name, code, expected) in USES {
        let (text, diagnostics) = run(code, "default");
        assert_eq!(text, *expected, "{name}: {diagnostics}");
    }
}

#[test]
fn fault_26_all_of_them_in_one_process_without_pymalloc() {
    if wheel("python").is_none() {
        return;
    }
    let all: String = USES.iter().map(|(name, code, _)| format!("# {name}\n{code}\n")).collect();
    let (text, diagnostics) = run(&all, "malloc");
    let expected: Vec<_> = USES.iter().map(|(.., expected)| *expected).collect();
    assert_eq!(text, expected.join("\n"), "{diagnostics}");
}
