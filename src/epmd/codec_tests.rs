use super::*;
use proptest::prelude::*;

/// Frames between OTP 25 and its epmd; the file says where they come from.
fn recorded() -> Vec<(String, String, Vec<u8>)> {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/epmd_frames.json")).unwrap();
    let text = |frame: &serde_json::Value, key: &str| frame[key].as_str().unwrap().to_owned();
    let bytes = |hex: String| {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect::<Vec<u8>>()
    };
    file["frames"]
        .as_array()
        .unwrap()
        .iter()
        .map(|frame| (text(frame, "dir"), text(frame, "decoded"), bytes(text(frame, "hex"))))
        .collect()
}

fn read_all(bytes: &[u8]) -> Result<Option<Request>, DecodeError> {
    RequestReader::default().push(bytes)
}

#[test]
fn recorded_frames_decode_and_encode_to_themselves() {
    let frames = recorded();
    assert!(frames.len() > 50);
    for (dir, decoded, bytes) in frames {
        if dir.ends_with("->epmd") {
            let request = read_all(&bytes).unwrap().unwrap_or_else(|| panic!("{decoded}: incomplete"));
            assert_eq!(request.encode().unwrap(), bytes, "{decoded}");
        } else {
            let reply = Reply::decode(&bytes, true).unwrap().unwrap_or_else(|| panic!("{decoded}: incomplete"));
            assert_eq!(reply.encode().unwrap(), bytes, "{decoded}");
        }
    }
}

#[test]
fn recorded_fields_are_read_right() {
    let bytes = b"\x00\x12x\xaf\x6bM\x00\x00\x06\x00\x05\x00\x05route\x00\x00";
    let Some(Request::Alive2(entry)) = read_all(bytes).unwrap() else { panic!() };
    assert_eq!(
        (entry.port, u8::from(entry.node_type), u8::from(entry.protocol), entry.highest_version, entry.lowest_version),
        (44907, 77, 0, 6, 5)
    );
    assert_eq!((entry.name.as_str(), entry.extra.len()), ("route", 0));
    let listing = b"\x00\x00\x5f\x69name route at port 44907\nname b25 at port 33983\n";
    let Some(Reply::Listing { epmd_port, text }) = Reply::decode(listing, true).unwrap() else { panic!() };
    assert_eq!(epmd_port, 24425);
    assert_eq!(parse_names(&text).unwrap(), [("route".to_owned(), 44907), ("b25".to_owned(), 33983)]);
    assert_eq!(Reply::decode(listing, false), Ok(None), "a listing ends with the connection");
}

#[test]
fn refusals() {
    let framed = |body: &[u8]| [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
    let alive = |name: &[u8]| {
        let nlen = u16::try_from(name.len()).unwrap().to_be_bytes();
        framed(&[b"x\x10\x00M\x00\x00\x06\x00\x05", &nlen[..], name, b"\x00\x00"].concat())
    };
    let name = DecodeError::Name;
    let cases: Vec<(Vec<u8>, DecodeError)> = vec![
        (vec![0, 0], DecodeError::Length(0)),
        (vec![0x0b, 0xf2], DecodeError::Length(3058)),
        (vec![0xff, 0xff, b'x'], DecodeError::Length(65535)),
        (framed(b"q"), DecodeError::Op(b'q')),
        (framed(b"nX"), DecodeError::Surplus("a request without fields")),
        (b"\x00\x01nn".to_vec(), DecodeError::Surplus("a request")),
        (framed(b"z"), name(NameError::Empty)),
        (framed(b"z\0"), name(NameError::Empty)),
        (framed(b"za\0b"), name(NameError::Control)),
        (framed(b"z\xff"), name(NameError::Utf8)),
        (framed(&[b"z", &[b'a'; 256][..]].concat()), name(NameError::Long)),
        (framed(b"x\x10\x00M"), DecodeError::Short("ALIVE2")),
        (framed(b"x\x10\x00M\x00\x00\x06\x00\x05\xff\xffa\x00\x00"), DecodeError::Short("ALIVE2")),
        (framed(b"x\x10\x00M\x00\x00\x06\x00\x05\x00\x01a\x00\x00!"), DecodeError::Surplus("ALIVE2")),
        (alive(b""), name(NameError::Empty)),
        (alive(b"a\0"), name(NameError::Control)),
        (alive(b"a\nname b at port 1"), name(NameError::Control)),
    ];
    for (bytes, error) in cases {
        assert_eq!(read_all(&bytes), Err(error), "{bytes:?}");
    }
    assert_eq!(read_all(&framed(b"zabc\0")), Ok(Some(Request::Port2("abc".into()))), "one NUL is let pass");
    assert!(read_all(&framed(&[b"z", "é".repeat(255).as_bytes()].concat())).is_ok(), "255 characters, not bytes");
}

#[test]
fn a_second_request_on_a_connection_is_surplus() {
    let mut reader = RequestReader::default();
    assert_eq!(reader.push(b"\x00\x01n"), Ok(Some(Request::Names)));
    assert_eq!(reader.push(b""), Ok(None));
    assert_eq!(reader.push(b"\x00\x01n"), Err(DecodeError::Surplus("a request")));
}

#[test]
fn listings() {
    let entry = NodeEntry::new("a b", 12);
    assert_eq!(names_line(&entry), "name a b at port 12\n");
    assert_eq!(dump_line(&entry, 7), "active name     <a b> at port 12, fd = 7\n\0");
    assert_eq!(parse_names(&names_line(&entry)).unwrap(), [("a b".to_owned(), 12)]);
    for bad in ["x\n", "name a at port\n", "name a at port 70000\n", "name a at port -1\n"] {
        assert_eq!(parse_names(bad), Err(DecodeError::Listing), "{bad:?}");
    }
}

fn entry() -> impl Strategy<Value = NodeEntry> {
    (any::<(u16, u8, u8, u16, u16)>(), "[a-zA-Z0-9_é-]{1,40}", prop::collection::vec(any::<u8>(), 0..20)).prop_map(
        |((port, node_type, protocol, highest_version, lowest_version), name, extra)| NodeEntry {
            name,
            port,
            node_type: node_type.into(),
            protocol: protocol.into(),
            highest_version,
            lowest_version,
            extra,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        entry().prop_map(Request::Alive2),
        "[a-z]{1,255}".prop_map(Request::Port2),
        Just(Request::Names),
        Just(Request::Dump),
        Just(Request::Kill),
        "[a-z]{1,255}".prop_map(Request::Stop),
    ]
}

proptest! {
    #[test]
    fn requests_survive_any_split(request in request(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let bytes = request.encode().unwrap();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let mut reader = RequestReader::default();
        let got: Vec<Request> =
            at.windows(2).filter_map(|w| reader.push(&bytes[w[0]..w[1]]).unwrap()).collect();
        prop_assert_eq!(got, [request]);
    }

    #[test]
    fn garbage_is_the_same_however_it_is_cut(bytes in prop::collection::vec(any::<u8>(), 0..40), head in 0u8..2) {
        // A small first byte, so that lengths are often in range.
        let bytes = [&[0, head][..], &bytes[..]].concat();
        let whole = read_all(&bytes);
        let mut reader = RequestReader::default();
        let mut last = Ok(None);
        let mut pieces = bytes.iter();
        while last.is_ok() {
            let Some(byte) = pieces.next() else { break };
            match reader.push(&[*byte]) {
                Ok(None) => {}
                other => last = other,
            }
        }
        // With surplus both ways end in an error; which one is met first may differ.
        match whole {
            Err(_) => prop_assert!(last.is_err()),
            ok => prop_assert_eq!(last, ok),
        }
    }

    #[test]
    fn replies_survive(entry in entry(), result in 1u8.., creation: u32, port: u16) {
        let listing = Reply::Listing { epmd_port: u32::from(port), text: names_line(&entry) };
        for reply in [Reply::Port2(entry), Reply::NoPort2(result), Reply::Alive2X { result, creation }, listing] {
            let bytes = reply.encode().unwrap();
            for cut in 0..bytes.len() {
                prop_assert_eq!(Reply::decode(&bytes[..cut], false), Ok(None));
            }
            prop_assert_eq!(Reply::decode(&bytes, true), Ok(Some(reply)));
        }
    }

    #[test]
    fn no_bytes_panic_the_reply_decoder(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Reply::decode(&bytes, false);
        let _ = Reply::decode(&bytes, true);
    }
}
