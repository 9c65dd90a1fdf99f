//! Where the cookie comes from.

use super::*;

#[test]
fn cookie_texts() {
    for (text, cookie) in [
        (&b"ABC"[..], Some(&b"ABC"[..])),
        (b"ABC\n", Some(b"ABC")),
        (b"ABC\r\n\n \n", Some(b"ABC")),
        (b"A B ~", Some(b"A B ~")),
        // Blanks before the line end belong to it, as in OTP.
        (b"ABC \n", Some(b"ABC ")),
        (b"", None),
        (b"\n", None),
        (b"ABC\nDEF", None),
        (b"A\tB", None),
        (b"\xe9", None),
        (b"A\0", None),
        (&[b'x'; 255], Some(&[b'x'; 255])),
        (&[b'x'; 256], None),
    ] {
        let got = Cookie::parse(text, "here");
        assert_eq!(got.as_ref().ok().map(Cookie::as_bytes), cookie, "{text:?}");
    }
    assert_eq!(format!("{:?}", Cookie::parse(b"ABC", "here").unwrap()), "Cookie(..)");
    assert!(Cookie::parse(b"A", "").unwrap() == Cookie::parse(b"A\n", "").unwrap());
    assert!(Cookie::parse(b"A", "").unwrap() != Cookie::parse(b"B", "").unwrap());
}

fn write_with_mode(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn source(flags: &str, variables: &[(&str, &str)]) -> CookieSource {
    resolve(flags, variables, None).unwrap().cookie
}

#[test]
fn cookie_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let flags = format!("--cookie-file {}", path.display());
    let read = || source(&flags, &[("BEAMROUTE_COOKIE", "OTHER")]).read();
    let shown = path.display();
    assert_eq!(
        read().unwrap_err().to_string(),
        format!("cookie file {shown}: No such file or directory (os error 2)"),
        "a file that was asked for is not made"
    );
    write_with_mode(&path, "SECRET\n", 0o400);
    assert_eq!(read().unwrap().as_bytes(), b"SECRET");
    set_mode(&path, 0o600);
    assert_eq!(read().unwrap().as_bytes(), b"SECRET");
    for mode in [0o440, 0o604, 0o644, 0o410] {
        set_mode(&path, mode);
        assert_eq!(
            read().unwrap_err().to_string(),
            format!("cookie file {shown} must be accessible by owner only (its mode is {mode:04o}; chmod 400 {shown})")
        );
    }
    for (text, reason) in [("", "is empty"), ("SECRET\nMORE\n", "bad characters"), (&"S".repeat(2000), "too long")] {
        fs::remove_file(&path).unwrap();
        write_with_mode(&path, text, 0o400);
        let error = read().unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains("SECRET"), "{error}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(read().unwrap_err().to_string(), format!("cookie file {shown} is not a regular file"));
    fs::remove_dir(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert_eq!(read().unwrap_err().to_string(), format!("cookie file {shown} is not a regular file"), "at once");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_cookie_at_home() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_str().unwrap();
    let at_home = dir.path().join(".erlang.cookie");
    let source_at_home = source("", &[("HOME", home)]);
    // Many at once: all get the one that came first.
    let cookies: Vec<Cookie> = std::thread::scope(|scope| {
        let starters: Vec<_> = (0..16).map(|_| scope.spawn(|| source_at_home.read().unwrap())).collect();
        starters.into_iter().map(|starter| starter.join().unwrap()).collect()
    });
    assert!(cookies.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(cookies[0].as_bytes().len() == 20 && cookies[0].as_bytes().iter().all(u8::is_ascii_uppercase));
    assert_eq!(fs::metadata(&at_home).unwrap().mode() & 0o7777, 0o400);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left lying about");

    // The configuration directory is looked into when there is none at home.
    fs::remove_file(&at_home).unwrap();
    let xdg = dir.path().join(".config/erlang");
    fs::create_dir_all(&xdg).unwrap();
    write_with_mode(&xdg.join(".erlang.cookie"), "XDG", 0o400);
    assert_eq!(source_at_home.read().unwrap().as_bytes(), b"XDG");
    assert!(!at_home.exists());
    let elsewhere = dir.path().join("x/erlang");
    fs::create_dir_all(&elsewhere).unwrap();
    write_with_mode(&elsewhere.join(".erlang.cookie"), "ELSEWHERE", 0o400);
    let x = dir.path().join("x");
    let variables = [("HOME", home), ("XDG_CONFIG_HOME", x.to_str().unwrap())];
    assert_eq!(source("", &variables).read().unwrap().as_bytes(), b"ELSEWHERE");
    // A file that is there and bad is an error, not a reason to look on.
    write_with_mode(&at_home, "OPEN", 0o644);
    assert!(source("", &variables).read().unwrap_err().to_string().contains("must be accessible by owner only"));

    let error = source("", &[]).read().unwrap_err().to_string();
    assert!(error.contains("HOME is not set") && error.contains("--cookie-file"), "{error}");
    let error = source("", &[("HOME", "/nonexistent")]).read().unwrap_err().to_string();
    assert!(error.starts_with("cannot make the cookie file /nonexistent/.erlang.cookie: "), "{error}");
}

#[test]
fn the_credential_of_a_unit() {
    let dir = tempfile::tempdir().unwrap();
    let (home, credentials) = (dir.path().join("home"), dir.path().join("credentials"));
    for dir in [&home, &credentials] {
        fs::create_dir(dir).unwrap();
    }
    write_with_mode(&home.join(".erlang.cookie"), "HOME", 0o400);
    let variables = [("HOME", home.to_str().unwrap()), ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())];
    let read = |flags: &str, more: &[(&str, &str)]| {
        let variables = [&variables[..], more].concat();
        source(flags, &variables).read().map(|cookie| String::from_utf8(cookie.as_bytes().to_vec()).unwrap())
    };
    assert_eq!(read("", &[]).unwrap(), "HOME", "there is no such credential");
    let file = credentials.join("cookie");
    let other = dir.path().join("file");
    write_with_mode(&other, "FILE", 0o400);
    write_with_mode(&file, "CREDENTIAL\n", 0o400);
    assert_eq!(read("", &[]).unwrap(), "CREDENTIAL");
    assert_eq!(read("", &[("BEAMROUTE_COOKIE", "VARIABLE")]).unwrap(), "VARIABLE");
    let flag = format!("--cookie-file {}", other.display());
    assert_eq!(read(&flag, &[("BEAMROUTE_COOKIE", "VARIABLE")]).unwrap(), "FILE");
    let is_root = nix::unistd::geteuid().is_root();
    // The group's permissions of a file with an ACL are the mask of that: root's only.
    for (mode, is_fine) in
        [(0o600, true), (0o440, is_root), (0o404, false), (0o460, false), (0o450, false), (0o444, false)]
    {
        write_with_mode(&file, "CREDENTIAL", mode);
        assert_eq!(read("", &[]).is_ok(), is_fine, "{mode:o}");
    }
    write_with_mode(&file, "\n", 0o400);
    let error = read("", &[]).unwrap_err().to_string();
    assert!(error.starts_with("no cookie: the credential ") && error.contains("/etc/beamroute/cookie"), "{error}");
    if is_root {
        write_with_mode(&file, "CREDENTIAL", 0o400);
        std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
        let error = read("", &[]).unwrap_err().to_string();
        assert!(error.ends_with("belongs to user 12345, and not to root or the user of this process"), "{error}");
    }
}
