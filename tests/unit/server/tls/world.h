/* Where most TLS tests take place: certificates, a listening door, contexts for both of its sides.
 *
 * Ownership: world_up and world_down are a test's setup and teardown. Thread: the test's.
 * Errors: assertions. */
#ifndef TESTS_UNIT_SERVER_TLS_WORLD_H
#define TESTS_UNIT_SERVER_TLS_WORLD_H

#include "tests/unit/server/tls/ends.h"

struct world {
    struct fixture fixture;
    struct tt_tls_context *server_tls;
    struct tt_tls_context *client_tls;
    struct door door;
};

static inline int world_up(void **state)
{
    struct world *world = test_calloc(1, sizeof *world);
    fixture_up(&world->fixture);
    world->server_tls = fixture_context(&world->fixture, true, "server");
    world->client_tls = fixture_context(&world->fixture, false, "user");
    door_open(&world->door, &world->fixture, world->server_tls);
    *state = world;
    return 0;
}

static inline int world_down(void **state)
{
    struct world *world = *state;
    door_close(&world->door);
    tt_tls_context_unref(world->server_tls);
    tt_tls_context_unref(world->client_tls);
    fixture_down(&world->fixture);
    test_free(world);
    return 0;
}

#endif
