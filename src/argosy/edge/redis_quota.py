"""`redisquota`: quotas counted in a Redis, so that all Mixers together give no more than there is.

Given the parameters of a handler, where its Redis is, and the Secret with its password and certificates. Each question
is one script that Redis runs as a whole, by its own clock. FIXED_WINDOW begins with the first request that is counted
and ends `validDuration` later; in a ROLLING_WINDOW counts are kept by buckets of `bucketDuration` and leave with their
bucket. Who asks again for the same request (within `AGAIN_S`) gets the same answer, and may give back what it got. A
Redis that does not answer gives nothing and decides nothing.
Source: Istio 1.4's redisquota.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.exceptions import AuthenticationError, RedisError

from argosy.api.mixer_adapters import RedisQuota, RedisQuotaParams
from argosy.mixer.port import NOT_ASKED, Call, Verdict
from argosy.mixer.quotas import dimensions_of, overriding
from argosy.mixer.status import DEADLINE_EXCEEDED, UNAVAILABLE

_log = logging.getLogger("argosy.mixer")
TIMEOUT_S = 1.5
"""Less than the two seconds that a proxy waits for the verdict, so that it is told why."""
AGAIN_S = 3.0
CONNECTIONS = 10
PREFIX = "argosy:quota"

# KEYS: counter, answer. ARGV: limit, wanted, window in ms, bucket in ms (0: fixed window), best effort, again in ms.
# The counter of a fixed window is a number that expires; that of a rolling one a hash of bucket -> given. An answer is
# `given:where`: the bucket, or when the window ends.
_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
_TAKE = (
    _NOW
    + """
local before = ARGV[6] ~= '0' and redis.call('GET', KEYS[2])
if before then return tonumber(string.match(before, '^%d+')) end
local limit, wanted, window, bucket = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local used, at = 0, 0
if bucket == 0 then
  used = tonumber(redis.call('GET', KEYS[1]) or '0')
else
  at = math.floor(now / bucket)
  local oldest = at - math.ceil(window / bucket) + 1
  local counts = redis.call('HGETALL', KEYS[1])
  for one = 1, #counts, 2 do
    if tonumber(counts[one]) < oldest then
      redis.call('HDEL', KEYS[1], counts[one])
    else
      used = used + tonumber(counts[one + 1])
    end
  end
end
local left, granted = limit - used, 0
if wanted <= left then granted = wanted elseif ARGV[5] == '1' and left > 0 then granted = left end
if granted > 0 then
  if bucket == 0 then
    if redis.call('INCRBY', KEYS[1], granted) == granted then redis.call('PEXPIRE', KEYS[1], window) end
    at = now + redis.call('PTTL', KEYS[1])
  else
    redis.call('HINCRBY', KEYS[1], string.format('%.0f', at), granted)
    redis.call('PEXPIRE', KEYS[1], window + bucket)
  end
end
if ARGV[6] ~= '0' then redis.call('SET', KEYS[2], string.format('%.0f:%.0f', granted, at), 'PX', ARGV[6]) end
return granted
"""
)
# KEYS: as above. ARGV: window in ms, bucket in ms. What was given in a window that has ended is gone with it.
_GIVE_BACK = (
    _NOW
    + """
local before = redis.call('GET', KEYS[2])
if not before then return 0 end
redis.call('DEL', KEYS[2])
local granted, at = string.match(before, '^(%d+):(%d+)$')
granted = tonumber(granted)
if granted == 0 then return 0 end
local counted
if ARGV[2] == '0' then
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or math.abs(now + left - tonumber(at)) * 2 > tonumber(ARGV[1]) then return 0 end
  counted = tonumber(redis.call('GET', KEYS[1]))
  if counted > granted then redis.call('DECRBY', KEYS[1], granted) else redis.call('DEL', KEYS[1]) end
else
  counted = tonumber(redis.call('HGET', KEYS[1], at) or '0')
  if counted > granted then redis.call('HINCRBY', KEYS[1], at, -granted) else redis.call('HDEL', KEYS[1], at) end
end
return granted
"""
)


class RedisQuotas:
    """One `redisquota` handler. `place` tells where its Redis is now: host and port; `secret` what the Secret that it
    names holds now, or None."""

    def __init__(
        self,
        params: RedisQuotaParams,
        place: Callable[[str], tuple[str, int]],
        scope: str,
        secret: Callable[[str], Mapping[str, bytes] | None] = lambda _name: None,
    ) -> None:
        self._params = params
        self._quotas = {quota.name: quota for quota in params.quotas}
        self._place = place
        self._scope = scope
        self._secret = secret
        self._client: Redis | None = None
        self._at: tuple[str, int] | None = None
        self._known: Mapping[str, bytes] = {}
        self.problem = ""
        """Why it could not be asked last; empty if it could."""

    async def check(self, call: Call, left_s: float) -> Verdict:
        """Give as much as is left; a quota that the handler does not know is not limited."""
        asked, quota = call.quota, self._quotas.get(str(call.instance))
        if asked is None or quota is None:
            return Verdict(granted=asked.amount if asked is not None else 0)
        if left_s <= 0:
            return Verdict(DEADLINE_EXCEEDED, NOT_ASKED, 0.0, 0, undecided=True)
        try:
            async with asyncio.timeout(min(TIMEOUT_S, left_s)):
                granted = await self._ask(call, quota)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            self._tell(f"the Redis at {self._params.redis_server_url} cannot be asked: {_reason(error)}")
            return Verdict(UNAVAILABLE, self.problem, 0.0, 0, undecided=True)
        self._tell("")
        return Verdict(granted=granted, valid_duration_s=quota.valid_duration)

    async def give_back(self, call: Call) -> None:
        """Undo what `call` took, once. What a Redis that is away was to get back it keeps until its window ends."""
        asked, quota = call.quota, self._quotas.get(str(call.instance))
        if asked is None or quota is None or not asked.deduplication_id:
            return
        with contextlib.suppress(RedisError, OSError, TimeoutError, ValueError):
            async with asyncio.timeout(TIMEOUT_S):
                client = await self._connected()
                arguments = [round(quota.valid_duration * 1000), _bucket_ms(quota)]
                await client.register_script(_GIVE_BACK)(keys=self._keys(call, quota), args=arguments)

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose(close_connection_pool=True)
            self._client = None

    def _tell(self, problem: str) -> None:
        """One line for each change, not for each request."""
        if bool(problem) != bool(self.problem):
            level = logging.WARNING if problem else logging.INFO
            _log.log(level, "%s", problem or f"the Redis at {self._params.redis_server_url} answers")
        self.problem = problem

    async def _ask(self, call: Call, quota: RedisQuota) -> int:
        asked = call.quota
        assert asked is not None
        override = overriding(quota.overrides, call)
        limit = quota.max_amount if override is None else override.max_amount
        again = round(AGAIN_S * 1000) if asked.deduplication_id else 0
        arguments = [
            limit,
            asked.amount,
            round(quota.valid_duration * 1000),
            _bucket_ms(quota),
            int(asked.best_effort),
            again,
        ]
        client = await self._connected()
        return int(await client.register_script(_TAKE)(keys=self._keys(call, quota), args=arguments))

    def _keys(self, call: Call, quota: RedisQuota) -> list[str]:
        """Of the counter, and of the answer to this request."""
        request = call.quota.deduplication_id if call.quota is not None else ""
        dimensions = (f"{name}={value}" for name, value in dimensions_of(call).items())
        # What was counted in one window means nothing in another: who edits it begins to count anew.
        counter = (self._scope, quota.name, f"{round(quota.valid_duration * 1000)}/{_bucket_ms(quota)}")
        return [_key(*counter, *dimensions), _key(*counter, "again", request)]

    async def _connected(self) -> Redis:
        at, known = self._place(self._params.redis_server_url), self._credentials()
        if self._client is None or at != self._at or known != self._known:
            await self.close()
            pool = BlockingConnectionPool(
                connection_class=_RedisConnection,
                host=at[0],
                port=at[1],
                username=known["username"].decode() if "username" in known else None,
                password=known["password"].decode() if "password" in known else None,
                tls=self._tls(known),
                max_connections=self._params.connection_pool_size or CONNECTIONS,
                timeout=TIMEOUT_S,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
            )
            self._client, self._at, self._known = Redis(connection_pool=pool), at, known
        return self._client

    def _credentials(self) -> Mapping[str, bytes]:
        """What the Secret holds. Errors: ValueError where it is not there: nobody is asked without it."""
        name = self._params.credential_name
        if not name:
            return {}
        found = self._secret(name)
        if found is None:
            raise ValueError(f"the Secret {name} does not exist")
        return found

    def _tls(self, known: Mapping[str, bytes]) -> dict[str, Any]:
        """How to connect. Errors: ValueError, `ssl.SSLError` for certificates that are none."""
        if self._params.tls is None:
            return {}
        roots = known.get("ca.crt")
        context = ssl.create_default_context(cadata=roots.decode() if roots is not None else None)
        if "tls.crt" in known and "tls.key" in known:
            _present(context, known["tls.crt"] + b"\n" + known["tls.key"])
        name = self._params.tls.server_name or self._params.redis_server_url.rpartition(":")[0].strip("[]")
        return {"ssl": context, "server_hostname": name}


class _RedisConnection(Connection):
    """A connection, under TLS to a server of a name that is not the address it is found at."""

    def __init__(self, *, tls: dict[str, Any], **rest: Any) -> None:
        self._tls = tls
        super().__init__(**rest)

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), **self._tls}


def _present(context: ssl.SSLContext, pair: bytes) -> None:
    """Give a client its certificate. Python takes it from files only: this one is in memory, and nobody else's."""
    file = os.memfd_create("redis-client", os.MFD_CLOEXEC)
    try:
        os.write(file, pair)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


def _reason(error: BaseException) -> str:
    """In words that hold nothing secret."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate cannot be trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"no TLS with it ({cause.reason or 'a certificate cannot be read'})"
        if isinstance(cause, socket.gaierror):
            return "its name has no address"
        if isinstance(cause, ConnectionRefusedError):
            return "nobody listens there"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if isinstance(error, AuthenticationError):
        return "it does not take the password"
    return str(error) if type(error) is ValueError else type(error).__name__


def _bucket_ms(quota: RedisQuota) -> int:
    """0 for a fixed window."""
    return round(quota.bucket_duration * 1000) if quota.rate_limit_algorithm == "ROLLING_WINDOW" else 0


def _key(*parts: str) -> str:
    """A key of Redis: parts that users and requests make cannot run into each other."""
    return ":".join([PREFIX, *(f"{len(part)}.{part}" for part in parts)])


__all__: Sequence[str] = ["RedisQuotas"]
