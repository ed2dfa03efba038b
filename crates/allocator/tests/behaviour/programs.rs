//! Ordinary programs of Debian, with and without the library: the same output, to the byte.

use std::process::Command;

use crate::preload::{library, output};

/// Shell lines whose output does not change from one run to the next. `$work` is a folder of their own.
const LINES: &[&str] = &[
    "ls -lR /usr/include/linux | head -5000",
    "find /usr/share/doc -name copyright | sort | head -3000",
    "grep -rn 'define' /usr/include/linux | sort | head -20000 | sha256sum",
    "sed -n 's/int/long/gp' /usr/include/*.h | md5sum",
    "awk '{ for (i = 1; i <= NF; i++) n[$i]++ } END { for (w in n) print n[w], w }' /usr/include/*.h | sort -n | tail -50",
    "sort -S 20M --parallel=2 -r /usr/share/perl/5*/unicore/Name.pl | sha1sum",
    "tar -C /usr/include -cf - linux | gzip -n | wc -c",
    "tar -C /usr/include -cf - linux | xz -T2 -1 | sha256sum",
    "tar -C /usr/include -cf - linux | bzip2 | sha256sum",
    "tar -C /usr/include -cf - linux | zstd -q -T2 | sha256sum",
    "seq 200000 | tr 0-4 a-e | uniq -c | tail -3",
    "seq 100000 | split -l 1000 - $work/part && cat $work/part* | cksum",
    "diff -r /usr/include/linux /usr/include/asm-generic | head -500",
    "seq 30000 > $work/a; seq 2 3 30000 > $work/b; diff $work/a $work/b | tail -3; comm -12 $work/a $work/b | wc -l",
    "perl -e 'my %h; $h{$_ % 1000} .= $_ for 1..200000; print length(join q(), map $h{$_}, sort keys %h), qq(\\n)'",
    "bash -c 'a=(); for ((i = 0; i < 20000; i++)); do a+=($i); done; echo ${#a[@]} ${a[19999]}'",
    "dash -c 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo $i'",
    "python3 -c 'print(sum(len(str(i) * (i % 50)) for i in range(200000)))'",
    "python3 -m json.tool --sort-keys /usr/share/perl/nothing.json 2>&1; python3 -c 'import json; print(len(json.dumps([list(range(i)) for i in range(500)])))'",
    "echo 'int main(void) { return 0; }' > $work/m.c && gcc -O2 -S -o - $work/m.c",
    "cd $work && echo '#include <map>' > m.cc && g++ -E m.cc | md5sum && g++ -O1 -S -o - m.cc",
    "objdump -d /usr/bin/env | tail -100",
    "readelf -aW /usr/bin/perl | md5sum; nm -D /usr/bin/perl | wc -l; strings /usr/bin/perl | md5sum",
    "openssl dgst -sha512 /usr/bin/perl; openssl enc -aes-256-cbc -K 00 -iv 00 -in /usr/bin/env 2>/dev/null | sha1sum",
    "curl --version | head -1; curl -s file:///usr/include/stdio.h | md5sum",
    "dpkg -l | md5sum; dpkg -S /usr/bin/env; dpkg-query -W | wc -l",
    "apt-cache show bash | head -20",
    "git init -q $work/r && cd $work/r && cp -r /usr/include/linux . && git add . && git write-tree && git ls-files | wc -l",
    "make --version | head -1; printf 'all:\\n\\t@echo $(words $(wildcard /usr/include/*.h))\\n' | make -f -",
    "bc <<< '2^5000' | md5sum; echo 'scale=500; 4*a(1)' | bc -l | md5sum",
    "jq -nc '[range(50000)] | map({key: tostring, value: .}) | from_entries | length'",
    "sqlite3 :memory: 'with recursive n(i) as (select 1 union all select i+1 from n where i<100000) select count(*), sum(i), count(distinct i%777) from n'",
    "vim -es -u NONE -c 'put =range(1,2000)' -c 'g/7/d' -c '%p' -c 'qa!' | md5sum",
    "man -P cat 1 bash 2>/dev/null | md5sum; echo '.TH a 1' | groff -man -Tascii | md5sum",
    "xxd /usr/bin/env | md5sum; file /usr/bin/* | md5sum",
    "unshare --user --map-root-user id -u; setpriv --dump >/dev/null; timeout 5 env true; nice -n 1 true; echo $?",
    "ps -p 1 -o pid= ; ssh -V 2>&1; locale -a | md5sum; getent passwd | md5sum",
    "cd $work && zip -qr -X z.zip /usr/include/linux && unzip -l z.zip | tail -1",
];

fn run(line: &str, library: Option<&std::path::Path>) -> (String, String, Option<i32>) {
    let work = tempfile::Builder::new().prefix("programs").tempdir().unwrap();
    let mut command = Command::new("/bin/bash");
    command.args(["-c", line]).env_clear().env("work", work.path()).env("HOME", work.path());
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C.UTF-8").current_dir("/");
    if let Some(library) = library {
        command.env("LD_PRELOAD", library);
    }
    let (text, diagnostics, code) = output(&mut command);
    // The folder's name is its own each time.
    (text, diagnostics.replace(work.path().to_str().unwrap(), "$work"), code)
}

/// A quarter of the lines, so that they run side by side.
fn check(quarter: usize) {
    let library = library();
    let mut n_run = 0;
    for line in LINES.iter().skip(quarter).step_by(4) {
        let without = run(line, None);
        if without.1.contains("command not found") {
            eprintln!("not tested: {}", without.1.trim());
            continue;
        }
        assert_eq!(without, run(line, Some(&library)), "{line}");
        n_run += 1;
    }
    assert!(n_run >= 7, "only {n_run} lines could be run");
}

#[test]
fn fault_27_ordinary_programs_do_the_same_1() {
    check(0);
}

#[test]
fn fault_27_ordinary_programs_do_the_same_2() {
    check(1);
}

#[test]
fn fault_27_ordinary_programs_do_the_same_3() {
    check(2);
}

#[test]
fn fault_27_ordinary_programs_do_the_same_4() {
    check(3);
}
