"""The template service: Flask pages rendered from a SQLite database.

`GET /products?kind=KIND&page=PAGE` lists products with their reviews; `GET /search?word=WORD` finds some.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

from flask import Flask, render_template, request
from live import Kept

N_PRODUCTS, N_REVIEWS, PAGE = 4000, 12000, 60
DATABASE = Path(os.environ["SHOP_DATABASE"])
app = Flask(__name__)
kept = Kept(capacity=30)
own = threading.local()


def database() -> sqlite3.Connection:
    """One connection for each thread."""
    if not hasattr(own, "connection"):
        own.connection = sqlite3.connect(DATABASE)
        own.connection.row_factory = sqlite3.Row
    return own.connection


@app.get("/products")
def products() -> str:
    kind, page = request.args.get("kind", type=int), request.args.get("page", type=int)
    found = database().execute(
        "select * from product where kind = ? order by price limit ? offset ?", (kind, PAGE, page * PAGE)
    )
    listed = [dict(row) for row in found.fetchall()]
    for product in listed:
        reviews = database().execute("select * from review where product = ? order by id", (product["id"],))
        product["reviews"] = [dict(row) for row in reviews]
    kept.keep(hash(request.full_path), listed)
    return render_template("products.html", title=f"kind {kind}, page {page}", products=listed)


@app.get("/search")
def search() -> str:
    found = database().execute(
        "select * from product where text like ? order by id limit 200", (f"%{request.args['word']}%",)
    )
    listed = [dict(row, reviews=[]) for row in found]
    return render_template("products.html", title=request.args["word"], products=listed)


def fill_database() -> None:
    """The same products each time, written before the service starts."""
    connection = sqlite3.connect(DATABASE)
    connection.executescript(
        "create table product (id integer primary key, kind integer, name text, price real, text text);"
        "create table review (id integer primary key, product integer, stars integer, text text);"
        "create index review_product on review (product);"
    )
    connection.executemany(
        "insert into product values (?, ?, ?, ?, ?)",
        (
            (n, n % 8, f"product {n}", n * 7 % 1000 / 10, f"word{n % 40} is good " * 8)
            for n in range(N_PRODUCTS)
        ),
    )
    connection.executemany(
        "insert into review values (?, ?, ?, ?)",
        ((n, n * 31 % N_PRODUCTS, n % 5 + 1, f"review {n} " * (n % 9 + 1)) for n in range(N_REVIEWS)),
    )
    connection.commit()
    connection.close()


def small(key: int) -> list[dict]:
    found = database().execute("select * from product limit ? offset ?", (PAGE, key * 20))
    return [dict(row, reviews=[review(n) for n in range(key, key + 3)]) for row in found]


def review(number: int) -> dict:
    return {"id": number, "product": 0, "stars": number % 5, "text": f"review {number} " * (number % 9 + 1)}


if __name__ == "__main__":
    fill_database()
else:
    kept.fill_if_asked(small)
