import com.ericsson.otp.erlang.*;

import java.io.BufferedReader;
import java.io.InputStreamReader;

/**
 * A JInterface node. It tells what happens on stdout, and ends with 1 and a sentence about what is not as it should be.
 *
 * <pre>
 * Peer calls NODE OWN_NAME    OtpNode and OtpMbox ask NODE
 * Peer rpc NODE OWN_NAME      OtpConnection does
 * Peer links NODE OWN_NAME    links in both directions, until NODE stops
 * Peer accept NODE OWN_NAME   OtpSelf waits for NODE to connect, and asks it over that connection
 * Peer stay NODE OWN_NAME     OtpNode tells of NODE's ups and downs, and asks it for each line of stdin
 * </pre>
 */
public final class Peer {
    private static final long PATIENCE_MS = 20_000;
    private static final OtpErlangAtom OK = new OtpErlangAtom("ok");

    private final String node;
    private final String name;

    private Peer(String node, String name) {
        this.node = node;
        this.name = name;
    }

    public static void main(String[] arguments) throws Exception {
        Peer peer = new Peer(arguments[1], arguments[2]);
        switch (arguments[0]) {
            case "calls": peer.calls(); break;
            case "rpc": peer.rpc(); break;
            case "links": peer.links(); break;
            case "accept": peer.accept(); break;
            case "stay": peer.stay(); break;
            default: fail("no such mode: " + arguments[0]);
        }
        // The threads of an OtpNode would keep the program.
        System.exit(0);
    }

    private void calls() throws Exception {
        OtpNode us = new OtpNode(name);
        expect("ping", us.ping(node, PATIENCE_MS), true);
        OtpMbox mbox = us.createMbox();
        OtpErlangObject status = call(us, mbox, atom("status"));
        expect("the node in the status", member("node", status), atom(node));
        expect("set_route", call(us, mbox, setRoute(24)), OK);
        OtpErlangTuple refusal = (OtpErlangTuple) call(us, mbox, setRoute(33));
        expect("set_route with prefix length 33", refusal.elementAt(0), atom("error"));
        mbox.send("route_manager", node, new OtpErlangString("not a call"));
        expect("ping in the end", mbox.ping(node, PATIENCE_MS), true);
        expect("messages left", mbox.receive(1), null);
    }

    private void rpc() throws Exception {
        OtpSelf us = new OtpSelf(name);
        OtpConnection connection = us.connect(new OtpPeer(node));
        expect("erlang:node", rpc(connection, "erlang", "node"), atom(node));
        OtpErlangObject status = rpc(connection, "route_manager", "status");
        expect("the node in route_manager:status", member("node", status), atom(node));
        OtpErlangTuple refusal = (OtpErlangTuple) rpc(connection, "os", "cmd", new OtpErlangString("id"));
        expect("os:cmd", refusal.elementAt(0), atom("badrpc"));
        OtpErlangTuple exit = (OtpErlangTuple) refusal.elementAt(1);
        expect("what os:cmd gets", ((OtpErlangTuple) exit.elementAt(1)).elementAt(0), atom("undef"));
        connection.send("route_manager", tuple(atom("$gen_cast"), setRoute(24)));
        expect("erlang:node in the end", rpc(connection, "erlang", "node"), atom(node));
        connection.close();
    }

    private void links() throws Exception {
        OtpNode us = new OtpNode(name);
        OtpMbox first = us.createMbox();
        OtpErlangPid manager = whereis(us, first);
        first.link(manager);
        first.unlink(manager);
        first.link(manager);
        // It breaks the link, as a process that ends does.
        first.exit("bye");
        OtpMbox second = us.createMbox();
        second.link(manager);
        // An exit signal without a link, as exit/2 sends one.
        second.exit(manager, "please");
        expect("the same process after the exit signals", whereis(us, second), manager);
        OtpMbox third = us.createMbox();
        OtpErlangPid nobody = new OtpErlangPid(node, manager.id() + 4711, 0, 1);
        try {
            third.link(nobody);
            fail("a link to nobody: " + third.receive(PATIENCE_MS) + " instead of an exit");
        } catch (OtpErlangExit exit) {
            expect("a link to nobody", exit.reason(), atom("noproc"));
        }
        System.out.println("linked");
        try {
            fail("a message instead of an exit: " + second.receive(PATIENCE_MS));
        } catch (OtpErlangExit exit) {
            expect("who ends", exit.pid(), manager);
            System.out.println("exit " + exit.reason());
        }
    }

    private void accept() throws Exception {
        OtpSelf us = new OtpSelf(name);
        expect("publishPort", us.publishPort(), true);
        System.out.println("published");
        OtpConnection connection = us.accept();
        expect("who connects", connection.peer().node(), node);
        expect("erlang:node", rpc(connection, "erlang", "node"), atom(node));
        System.out.println("answered");
        // Until the other side has seen enough.
        new BufferedReader(new InputStreamReader(System.in)).readLine();
        connection.close();
    }

    private void stay() throws Exception {
        OtpNode us = new OtpNode(name);
        us.registerStatusHandler(new OtpNodeStatus() {
            @Override
            public void remoteStatus(String peer, boolean isUp, Object info) {
                System.out.println((isUp ? "up " : "down ") + peer);
            }
        });
        System.out.println("published");
        OtpMbox mbox = us.createMbox();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        while (lines.readLine() != null) {
            System.out.println("connected " + member("nodes", call(us, mbox, atom("status"))));
        }
    }

    /** gen_server:call(route_manager, Request). */
    private OtpErlangObject call(OtpNode us, OtpMbox mbox, OtpErlangObject request) throws Exception {
        OtpErlangRef tag = us.createRef();
        mbox.send("route_manager", node, tuple(atom("$gen_call"), tuple(mbox.self(), tag), request));
        OtpErlangTuple reply = (OtpErlangTuple) mbox.receive(PATIENCE_MS);
        if (reply == null) {
            fail("no reply to " + request);
        }
        expect("the tag of the reply to " + request, reply.elementAt(0), tag);
        return reply.elementAt(1);
    }

    private OtpErlangPid whereis(OtpNode us, OtpMbox mbox) throws Exception {
        OtpErlangList names = new OtpErlangList(atom("route_manager"));
        OtpErlangTuple call = tuple(atom("call"), atom("erlang"), atom("whereis"), names, mbox.self());
        mbox.send("rex", node, tuple(mbox.self(), call));
        OtpErlangTuple reply = (OtpErlangTuple) mbox.receive(PATIENCE_MS);
        expect("who answers", reply.elementAt(0), atom("rex"));
        return (OtpErlangPid) reply.elementAt(1);
    }

    private static OtpErlangObject rpc(OtpConnection to, String module, String function, OtpErlangObject... args)
            throws Exception {
        to.sendRPC(module, function, args);
        return to.receiveRPC();
    }

    private static OtpErlangTuple setRoute(int prefixLength) {
        OtpErlangTuple subnet = tuple(address(192, 168, 1, 50), new OtpErlangInt(prefixLength));
        OtpErlangList subnets = new OtpErlangList(subnet);
        return tuple(atom("set_route"), new OtpErlangString("eth0"), subnets, address(192, 168, 1, 1));
    }

    private static OtpErlangTuple address(int a, int b, int c, int d) {
        return tuple(new OtpErlangInt(a), new OtpErlangInt(b), new OtpErlangInt(c), new OtpErlangInt(d));
    }

    private static OtpErlangAtom atom(String text) {
        return new OtpErlangAtom(text);
    }

    private static OtpErlangTuple tuple(OtpErlangObject... elements) {
        return new OtpErlangTuple(elements);
    }

    private static OtpErlangObject member(String key, OtpErlangObject map) {
        return ((OtpErlangMap) map).get(atom(key));
    }

    private static void expect(String what, Object got, Object wanted) {
        if (got == null ? wanted != null : !got.equals(wanted)) {
            fail(what + ": " + got + " instead of " + wanted);
        }
    }

    private static void fail(String sentence) {
        System.err.println("Peer: " + sentence);
        System.exit(1);
    }
}
