%% @doc The arguments of callers, in every form that the daemon takes, made into the one that is sent.
%%
%% The daemon checks again. It is done here as well because what is wrong must be said at once, also while the node is
%% away; the rules and the sentences are the daemon's.
-module(beamroute_arguments).

-export([request/1, pid/2, property/1]).

-export_type([ifname/0, address/0, subnet/0, gateway/0, connection_status/0, why/0, metric/0, owner_policy/0, wrong/0]).

-type ifname() :: binary() | string() | atom().
-type address() :: inet:ip_address() | binary() | string().
-type subnet() :: {address(), PrefixLength :: 1..128}.
-type gateway() :: address() | nil | undefined.
-type connection_status() :: disconnected | lan | internet.
-type why() :: binary() | string() | nil | undefined.
-type metric() :: pos_integer() | disabled | default.
%% What becomes of the wishes of this node when this node goes down, after so many seconds.
-type owner_policy() :: keep | {clear_after | lan_after, Seconds :: non_neg_integer()}.
%% The sentence says what is wrong.
-type wrong() :: {badarg, binary()}.

%% The daemon's own bounds.
-define(MAX_IFNAME_BYTES, 15).
-define(MAX_WHY_BYTES, 4096).
-define(MAX_SUBNETS, 1024).
-define(MAX_U32, 16#ffffffff).
%% The largest metric that anyone may choose.
-define(MAX_METRIC, 4_000_000_000).
-define(MAX_SHOWN, 1000).

%% @doc A request that changes something, checked and in the form in which it is sent.
-spec request(tuple() | refresh_route_metrics) -> {ok, beamroute_wishes:wish()} | {error, wrong()}.
request(refresh_route_metrics) ->
    {ok, refresh_route_metrics};
request(Request) ->
    try
        {ok, check(Request)}
    catch
        throw:{wrong, Format, Args} -> wrong(element(1, Request), Format, Args)
    end.

%% @doc A pid of this node.
-spec pid(atom(), term()) -> ok | {error, wrong()}.
pid(_, Pid) when is_pid(Pid), node(Pid) =:= node() -> ok;
pid(Function, Pid) when is_pid(Pid) -> wrong(Function, "~ts is not a process of this node", [show(Pid)]);
pid(Function, Term) -> wrong(Function, "~ts is not a pid", [show(Term)]).

%% @doc The name of a property, which `get' asks for.
-spec property(term()) -> ok | {error, wrong()}.
%% Improper lists have no length.
property(Path) when is_list(Path), length(Path) >= 0 ->
    case lists:all(fun is_binary/1, Path) of
        true -> ok;
        false -> not_a_property(Path)
    end;
property(Path) ->
    not_a_property(Path).

not_a_property(Path) -> wrong(get, "property ~ts is not a list of binaries", [show(Path)]).

wrong(Function, Format, Args) ->
    Text = io_lib:format("~ts: " ++ Format, [Function | Args]),
    {error, {badarg, unicode:characters_to_binary(Text)}}.

check({set_route, IfName, IpSubnets, Gateway}) ->
    {set_route, ifname(IfName), subnets(IpSubnets), gateway(Gateway)};
check({clear_route, IfName}) ->
    {clear_route, ifname(IfName)};
check({set_connection_status, IfName, Status, Why}) ->
    {set_connection_status, ifname(IfName), status(Status), why(Why)};
check({set_metric, IfName, Metric}) ->
    {set_metric, ifname(IfName), metric(Metric)};
check({set_owner_policy, Policy}) ->
    {set_owner_policy, owner_policy(Policy)}.

%% The daemon would take these; here they are what a lookup gives that has found nothing.
ifname(Atom) when Atom =:= nil; Atom =:= undefined; is_boolean(Atom) ->
    throw({wrong, "~ts is not an interface name", [show(Atom)]});
ifname(Atom) when is_atom(Atom) ->
    ifname(atom_to_binary(Atom), Atom);
ifname(Term) ->
    case text(Term) of
        {ok, Name} -> ifname(Name, Term);
        error -> throw({wrong, "~ts is not an interface name", [show(Term)]})
    end.

%% `dev_valid_name' in the kernel's net/core/dev.c.
ifname(Name, Term) ->
    case [Why || {true, Why} <- ifname_faults(Name)] of
        [] -> Name;
        [Why | _] -> throw({wrong, "interface name ~ts ~ts", [show(Term), Why]})
    end.

ifname_faults(Name) ->
    [
        {Name =:= <<>>, "is empty"},
        {Name =:= <<".">> orelse Name =:= <<"..">>, "is . or .."},
        {lists:any(fun is_bad_byte/1, binary_to_list(Name)), "holds a '/', a ':', white space or a NUL"},
        {byte_size(Name) > ?MAX_IFNAME_BYTES, "is longer than 15 bytes"}
    ].

is_bad_byte(Byte) ->
    lists:member(Byte, [0, $/, $:, $\s, 16#a0]) orelse (Byte >= $\t andalso Byte =< $\r).

subnets(IpSubnets) when is_list(IpSubnets), length(IpSubnets) > ?MAX_SUBNETS ->
    throw({wrong, "~b addresses are more than ~b", [length(IpSubnets), ?MAX_SUBNETS]});
subnets(IpSubnets) when is_list(IpSubnets), length(IpSubnets) >= 0 ->
    lists:map(fun subnet/1, IpSubnets);
subnets(Term) ->
    throw({wrong, "~ts is not a list of {Address, PrefixLength}", [show(Term)]}).

subnet({Address, Length} = Subnet) ->
    Ip = address(Address),
    is_u32(Length) orelse throw({wrong, "prefix length in ~ts is not a number of bits", [show(Subnet)]}),
    Max = bits(Ip),
    (Length >= 1 andalso Length =< Max) orelse throw({wrong, "prefix length ~b is not in 1..~b", [Length, Max]}),
    is_loopback(Ip) andalso throw({wrong, "~ts is a loopback address", [ntoa(Ip)]}),
    is_mapped(Ip) andalso throw({wrong, "~ts is an IPv4 address written as IPv6", [ntoa(Ip)]}),
    is_unicast(Ip) orelse throw({wrong, "~ts is not a unicast address", [ntoa(Ip)]}),
    {Ip, Length};
subnet(Term) ->
    throw({wrong, "~ts is not {Address, PrefixLength}", [show(Term)]}).

gateway(None) when None =:= nil; None =:= undefined ->
    nil;
gateway(Term) ->
    Ip = gateway_address(Term),
    is_unicast(Ip) orelse throw({wrong, "gateway ~ts is not a unicast address", [ntoa(Ip)]}),
    Ip.

gateway_address(Term) ->
    try
        address(Term)
    catch
        throw:{wrong, Format, Args} -> throw({wrong, "gateway: " ++ Format, Args})
    end.

address(Tuple) when is_tuple(Tuple) ->
    case inet:is_ip_address(Tuple) of
        true -> Tuple;
        false -> throw({wrong, "~ts is not an IP address", [show(Tuple)]})
    end;
address(Term) ->
    case text(Term) of
        {ok, Text} -> parse_address(Text, Term);
        error -> throw({wrong, "~ts is not an IP address", [show(Term)]})
    end.

%% Stricter than inet, which takes octal and hexadecimal fields and scopes.
parse_address(Text, Term) ->
    Chars = binary_to_list(Text),
    case inet:parse_strict_address(Chars) of
        {ok, Ip} when tuple_size(Ip) =:= 4 ->
            case ntoa(Ip) of
                Chars -> Ip;
                _ -> throw({wrong, "~ts is not an IP address", [show(Term)]})
            end;
        {ok, Ip} ->
            lists:member($%, Chars) andalso throw({wrong, "~ts is not an IP address", [show(Term)]}),
            Ip;
        {error, _} ->
            throw({wrong, "~ts is not an IP address", [show(Term)]})
    end.

ntoa(Ip) ->
    case inet:ntoa(Ip) of
        Chars when is_list(Chars) -> Chars
    end.

bits(Ip) when tuple_size(Ip) =:= 4 -> 32;
bits(_) -> 128.

is_loopback({127, _, _, _}) -> true;
is_loopback({0, 0, 0, 0, 0, 0, 0, 1}) -> true;
is_loopback(_) -> false.

is_mapped({0, 0, 0, 0, 0, 16#ffff, _, _}) -> true;
is_mapped(_) -> false.

is_unicast({0, 0, 0, 0}) -> false;
is_unicast({255, 255, 255, 255}) -> false;
is_unicast({A, _, _, _}) when A >= 224, A =< 239 -> false;
is_unicast({0, 0, 0, 0, 0, 0, 0, 0}) -> false;
is_unicast({A, _, _, _, _, _, _, _}) when A >= 16#ff00 -> false;
is_unicast(Ip) -> not is_loopback(Ip) andalso not is_mapped(Ip).

status(Status) when Status =:= disconnected; Status =:= lan; Status =:= internet -> Status;
status(Term) -> throw({wrong, "status ~ts is not disconnected, lan or internet", [show(Term)]}).

why(None) when None =:= nil; None =:= undefined ->
    nil;
why(Term) ->
    case text(Term) of
        {ok, Text} when byte_size(Text) =< ?MAX_WHY_BYTES ->
            Text;
        {ok, Text} ->
            throw({wrong, "a reason of ~b bytes is longer than ~b", [byte_size(Text), ?MAX_WHY_BYTES]});
        error ->
            throw({wrong, "reason ~ts is not text", [show(Term)]})
    end.

metric(Metric) when Metric =:= disabled; Metric =:= default -> Metric;
metric(Metric) when is_integer(Metric), Metric > 0, Metric =< ?MAX_METRIC -> Metric;
metric(Term) -> throw({wrong, "metric ~ts is not a number from 1 to ~b, disabled or default", [show(Term), ?MAX_METRIC]}).

owner_policy(keep) ->
    keep;
owner_policy({Kind, Seconds} = Policy) when Kind =:= clear_after; Kind =:= lan_after ->
    is_u32(Seconds) orelse wrong_policy(Policy),
    Policy;
owner_policy(Term) ->
    wrong_policy(Term).

-spec wrong_policy(term()) -> no_return().
wrong_policy(Term) ->
    throw({wrong, "~ts is not keep, {clear_after, Seconds} or {lan_after, Seconds}", [show(Term)]}).

is_u32(Number) -> is_integer(Number) andalso Number >= 0 andalso Number =< ?MAX_U32.

%% A binary as it is, a list of characters in UTF-8.
text(Binary) when is_binary(Binary) ->
    {ok, Binary};
text(List) when is_list(List) ->
    try lists:all(fun is_integer/1, List) andalso unicode:characters_to_binary(List) of
        Binary when is_binary(Binary) -> {ok, Binary};
        _ -> error
    catch
        error:_ -> error
    end;
text(_) ->
    error.

%% As the daemon shows terms: text in a binary is text, also when it is not Latin-1.
show(Term) ->
    Shown =
        case is_binary(Term) andalso unicode:characters_to_list(Term) of
            Chars when is_list(Chars) -> ["<<", io_lib:write_string(Chars), ">>"];
            _ -> io_lib:format("~0tp", [Term])
        end,
    Flat = unicode:characters_to_list(Shown),
    case length(Flat) > ?MAX_SHOWN of
        true -> lists:sublist(Flat, ?MAX_SHOWN) ++ [16#2026];
        false -> Flat
    end.
