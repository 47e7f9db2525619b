/* Clients that mean harm: each flood is bounded, and an honest client is still served. Frames are
 * written by hand (RFC 9113 section 4.1): length 24, type 8, flags 8, stream 32. */
#include <nghttp2/nghttp2.h>

#include "tests/unit/api/http/raw.h"
#include "tests/unit/api/http/web_call.h"

enum {
    F_DATA = 0,
    F_HEADERS = 1,
    F_RST = 3,
    F_SETTINGS = 4,
    F_PING = 6,
    F_GOAWAY = 7,
    F_CONTINUATION = 9
};
enum { COMPRESSION_ERROR = 9, ENHANCE_YOUR_CALM = 11 };
enum { END_STREAM = 1, END_HEADERS = 4 };

/* GET https / with an :authority, from HPACK's static table: nothing to encode. */
static const char get_root[] = {(char)0x82, (char)0x87, (char)0x84, 0x41, 0x01, 'a'};

static void put_frame(struct tt_buf *buf, int type, int flags, uint32_t stream,
                      struct tt_str payload)
{
    const char head[9] = {(char)(payload.len >> 16),
                          (char)(payload.len >> 8),
                          (char)payload.len,
                          (char)type,
                          (char)flags,
                          (char)(stream >> 24),
                          (char)(stream >> 16),
                          (char)(stream >> 8),
                          (char)stream};
    tt_buf_append(buf, head, sizeof head);
    tt_buf_str(buf, payload);
}

static void evil_connect(struct web *web, struct raw *raw, struct tt_buf *frames)
{
    raw_connect(web, raw, web->h2_tls);
    tt_buf_init(frames, 16 << 20);
    tt_buf_c(frames, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_frame(frames, F_SETTINGS, 0, 0, TT_STR_NONE);
}

static void honest_client_is_served(struct web *web)
{
    struct web_call wc;
    web_client(web);
    web_start(web, &wc, "POST", "/echo", TT_STR("still there?"));
    web_finish(web, &wc);
    assert_int_equal(wc.call.status, 200);
    tt_http_call_fini(&wc.call);
}

static void rapid_resets_end_the_connection(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    struct tt_buf frames;
    struct tt_http_limits limits = {.resets_per_second_max = 100};
    web_up(&web, &limits);
    evil_connect(&web, &raw, &frames);
    for (uint32_t i = 0; i < 5000; i++) {
        put_frame(&frames, F_HEADERS, END_STREAM | END_HEADERS, 2 * i + 1,
                  tt_str(get_root, sizeof get_root));
        put_frame(&frames, F_RST, 0, 2 * i + 1, tt_str("\0\0\0\10", 4));
    }
    raw_send(&raw, tt_buf_view(&frames));
    assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raw));
    assert_in_range(web.requests, 1, 110); /* the flood stops at the budget */
    raw_end(&web, &raw);
    tt_buf_fini(&frames);
    honest_client_is_served(&web);
    web_down(&web);
}

static void endless_continuations_end_the_connection(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    struct tt_buf frames;
    char literal[3 + 200] = {0x00, 0x01, 'x'}; /* a literal header; value length follows */
    web_up(&web, NULL);
    evil_connect(&web, &raw, &frames);
    put_frame(&frames, F_HEADERS, END_STREAM, 1, tt_str(get_root, sizeof get_root));
    literal[3] = 100;
    memset(literal + 4, 'v', 100);
    for (int i = 0; i < 2000; i++) {
        put_frame(&frames, F_CONTINUATION, 0, 1, tt_str(literal, 104));
    }
    raw_send(&raw, tt_buf_view(&frames));
    assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raw));
    assert_int_equal(web.requests, 0);
    raw_end(&web, &raw);
    tt_buf_fini(&frames);
    honest_client_is_served(&web);
    web_down(&web);
}

/* A block of `count` fields of `size` bytes each behind that of get_root, in frames of 16 KiB. */
static void put_block(struct tt_buf *frames, uint32_t stream, size_t count, size_t size)
{
    enum { PIECE = 16384 };
    struct tt_buf block;
    tt_buf_init(&block, 4 << 20);
    tt_buf_append(&block, get_root, sizeof get_root);
    for (size_t i = 0; i < count; i++) {
        size_t rest = size - 0x7f; /* an HPACK integer with a prefix of 7 bits */
        tt_buf_append(&block, "\0\1x\x7f", 4);
        for (; rest >= 0x80; rest >>= 7) {
            tt_buf_char(&block, (char)(0x80 | (rest & 0x7f)));
        }
        tt_buf_char(&block, (char)rest);
        char *value = tt_buf_reserve(&block, size);
        assert_non_null(value);
        memset(value, 'v', size);
        block.len += size;
    }
    struct tt_str left = tt_buf_view(&block);
    for (int type = F_HEADERS; left.len > 0; type = F_CONTINUATION) {
        struct tt_str piece = tt_str_head(left, PIECE);
        left = tt_str_skip(left, PIECE);
        put_frame(frames, type,
                  (type == F_HEADERS ? END_STREAM : 0) | (left.len == 0 ? END_HEADERS : 0), stream,
                  piece);
    }
    tt_buf_fini(&block);
}

/* The payload of the first frame of this type on this stream; NONE: there is none yet. */
static struct tt_str find_frame(const struct raw *raw, int type, uint32_t stream)
{
    struct tt_str rest = tt_buf_view(&raw->in);
    while (rest.len >= 9) {
        const unsigned char *head = (const unsigned char *)rest.ptr;
        size_t size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        uint32_t at = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 |
                      (uint32_t)head[8];
        struct tt_str payload = tt_str_head(tt_str_skip(rest, 9), size);
        if (head[3] == type && at == stream) {
            return payload;
        }
        rest = tt_str_skip(rest, 9 + size);
    }
    return TT_STR_NONE;
}

static bool is_answered(void *ctx)
{
    return find_frame(ctx, F_HEADERS, 3).ptr != NULL || ((struct raw *)ctx)->closed;
}

/* :status of the answer on this stream, 0: there is none. */
static int status_on(const struct raw *raw, uint32_t stream)
{
    struct tt_str block = find_frame(raw, F_HEADERS, stream);
    nghttp2_hd_inflater *inflater;
    nghttp2_nv field = {NULL, NULL, 0, 0, 0};
    int flags = 0;
    uint64_t status = 0;
    assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
    if (block.len > 0 && nghttp2_hd_inflate_hd2(inflater, &field, &flags,
                                                (const uint8_t *)block.ptr, block.len, 1) > 0) {
        assert_true(tt_str_to_u64(tt_str((const char *)field.value, field.valuelen), &status));
    }
    nghttp2_hd_inflate_del(inflater);
    return (int)status;
}

/* Stream 1 with such a block, then an ordinary request on stream 3: what both are answered, or 0
 * and the code the connection ended with. */
static void assert_block(struct web *web, size_t count, size_t size, int status, int goaway)
{
    struct raw raw;
    struct tt_buf frames;
    int requests = web->requests;
    evil_connect(web, &raw, &frames);
    put_block(&frames, 1, count, size);
    put_frame(&frames, F_HEADERS, END_STREAM | END_HEADERS, 3, tt_str(get_root, sizeof get_root));
    raw_send(&raw, tt_buf_view(&frames));
    assert_true(fixture_turn_until(&web->fixture, is_answered, &raw));
    struct tt_str end = find_frame(&raw, F_GOAWAY, 0);
    assert_int_equal(end.len >= 8 ? end.ptr[7] : 0, goaway);
    assert_int_equal(status_on(&raw, 1), status);
    assert_int_equal(web->requests - requests, goaway == 0);
    if (raw.stream != NULL) {
        tt_tls_stream_close(raw.stream);
        assert_true(fixture_turn_until(&web->fixture, raw_is_closed, &raw));
    }
    raw_end(web, &raw);
    tt_buf_fini(&frames);
}

static void header_blocks_over_the_limit_end_their_stream_only(void **state)
{
    (void)state;
    struct web web;
    web_up(&web, NULL);
    assert_block(&web, 1, 33000, 431, 0);
    assert_block(&web, 1, 65000, 431, 0);
    assert_block(&web, 4, 20000, 431, 0);
    assert_block(&web, 2, 60000, 431, 0);
    assert_block(&web, 3, 44000, 0, ENHANCE_YOUR_CALM); /* more than is decoded */
    assert_block(&web, 3, 60000, 0, ENHANCE_YOUR_CALM); /* more frames than nghttp2 takes */
    assert_block(&web, 1, 66000, 0, COMPRESSION_ERROR);
    web_down(&web);
}

static void ping_flood_ends_the_connection(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    struct tt_buf frames;
    web_up(&web, NULL);
    evil_connect(&web, &raw, &frames);
    for (int i = 0; i < 60000; i++) {
        put_frame(&frames, F_PING, 0, 0, TT_STR("12345678"));
    }
    raw_send(&raw, tt_buf_view(&frames));
    assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raw));
    raw_end(&web, &raw);
    tt_buf_fini(&frames);
    honest_client_is_served(&web);
    web_down(&web);
}

static void random_bytes_behind_the_preface_end_the_connection(void **state)
{
    (void)state;
    struct web web;
    uint64_t seed = tt_random_u64();
    struct tt_rng rng;
    print_message("seed %llu\n", (unsigned long long)seed);
    tt_rng_seed(&rng, seed);
    web_up(&web, NULL);
    for (int round = 0; round < 10; round++) {
        struct raw raw;
        struct tt_buf frames;
        evil_connect(&web, &raw, &frames);
        for (int i = 0; i < 500; i++) {
            uint64_t word = tt_rng_u64(&rng);
            tt_buf_append(&frames, &word, sizeof word);
        }
        raw_send(&raw, tt_buf_view(&frames));
        tt_tls_stream_close(raw.stream); /* it may also wait for the rest of a frame */
        assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raw));
        raw_end(&web, &raw);
        tt_buf_fini(&frames);
    }
    honest_client_is_served(&web);
    web_down(&web);
}

static bool web_has_drained(void *ctx)
{
    return ((struct web *)ctx)->drained > 0;
}

static void slow_reader_holds_no_more_than_the_backlog(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    struct tt_http_limits limits = {.response_backlog_max = 100000};
    web_up(&web, &limits);
    raw_connect(&web, &raw, web.h1_tls);
    raw_text(&raw, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(raw_wait(&web, &raw, "\r\n\r\n", 1));
    tt_tls_stream_pause(raw.stream, true);
    struct tt_http_part part = {tt_str(web.big, 50000), &web, web_release};
    int written = 0;
    int r = 0;
    for (int turns = 0; turns < 2000 && r == 0; turns++) { /* until sockets and backlog are full */
        r = tt_http_stream_write(web.held[0], &part, 1);
        written += r == 0 ? 1 : 0;
        (void)uv_run(tt_loop_uv(web.fixture.loop), UV_RUN_NOWAIT);
    }
    assert_int_equal(r, TT_EBUSY);
    assert_in_range(tt_http_stream_backlog(web.held[0]), 1, 100000 + 96 * 1024);
    assert_true(web.released < written);
    tt_tls_stream_pause(raw.stream, false);
    assert_true(fixture_turn_until(&web.fixture, web_has_drained, &web));
    tt_http_stream_end(web.held[0]);
    assert_true(raw_wait(&web, &raw, "0\r\n\r\n", 1));
    assert_int_equal(web.released, written);
    raw_end(&web, &raw);
    web_down(&web);
}

static void connections_of_a_client_are_limited(void **state)
{
    (void)state;
    struct web web;
    struct raw raws[4];
    struct tt_http_limits limits = {.connections_per_client_max = 3};
    web_up(&web, &limits);
    for (int i = 0; i < 4; i++) {
        raw_connect(&web, &raws[i], web.h1_tls);
    }
    assert_true(raw_wait(&web, &raws[3], "HTTP/1.1 429 ", 1));
    assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raws[3]));
    raw_text(&raws[0], "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(raw_wait(&web, &raws[0], " 200 OK", 1));
    for (int i = 0; i < 4; i++) {
        raw_end(&web, &raws[i]);
    }
    web_down(&web);
}

/* As raw_connect, but the same limit holds for the handshake: a machine that stood still meanwhile
 * is asked again. */
static void raw_connect_in_time(struct web *web, struct raw *raw)
{
    int tries = 0;
    while (!raw_try_connect(web, raw, web->h1_tls) && ++tries < 50) {
        raw_end(web, raw);
    }
    assert_true(raw->opened);
}

static void half_a_request_is_cut_in_time(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    struct tt_http_limits limits = {.header_timeout_ms = 300};
    web_up(&web, &limits);
    raw_connect_in_time(&web, &raw);
    raw_text(&raw, "GET /echo HTT");
    assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raw));
    raw_end(&web, &raw);
    raw_connect_in_time(&web, &raw);
    raw_text(&raw, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raw));
    assert_int_equal(web.requests, 0);
    raw_end(&web, &raw);
    web_down(&web);
}

static bool one_is_held(void *ctx)
{
    return ((struct web *)ctx)->held_count == 1;
}

static void body_bytes_of_a_client_are_limited(void **state)
{
    (void)state;
    struct web web;
    struct web_call held;
    struct web_call wc;
    struct tt_http_limits limits = {.body_bytes_per_client_max = 100000};
    web_open(&web, &limits);
    web_start(&web, &held, "POST", "/hold", tt_str(web.big, 60000));
    assert_true(fixture_turn_until(&web.fixture, one_is_held, &web)); /* two at once would race */
    web_exchange(&web, &wc, "POST", "/echo", tt_str(web.big, 60000));
    assert_int_equal(wc.call.status, 429);
    tt_http_call_fini(&wc.call);
    tt_http_respond_text(web.held[0], 200, "text/plain", TT_STR("ok"));
    web_finish(&web, &held);
    tt_http_call_fini(&held.call);
    web_exchange(&web, &wc, "POST", "/echo", tt_str(web.big, 60000));
    assert_int_equal(wc.call.status, 200);
    web_close(&web, &wc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rapid_resets_end_the_connection),
        cmocka_unit_test(endless_continuations_end_the_connection),
        cmocka_unit_test(header_blocks_over_the_limit_end_their_stream_only),
        cmocka_unit_test(ping_flood_ends_the_connection),
        cmocka_unit_test(random_bytes_behind_the_preface_end_the_connection),
        cmocka_unit_test(slow_reader_holds_no_more_than_the_backlog),
        cmocka_unit_test(connections_of_a_client_are_limited),
        cmocka_unit_test(half_a_request_is_cut_in_time),
        cmocka_unit_test(body_bytes_of_a_client_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
