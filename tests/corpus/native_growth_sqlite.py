"""A database in memory whose table is never emptied."""

import sqlite3

import stage

database = sqlite3.connect(":memory:")
database.execute("create table event (number integer primary key, text text)")


def insert():
    database.executemany("insert into event (text) values (?)", (("x" * 900,) for _ in range(600)))
    database.commit()


stage.ready()
stage.every(0.1, insert)
