# The schema files become one generated C file, so that a binary carries its kinds with it.
file(GLOB kinds_schemas CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/api/kinds/*.json)
set(kinds_generated ${CMAKE_BINARY_DIR}/api/kinds/builtin_schemas.c)
add_custom_command(OUTPUT ${kinds_generated}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/api/kinds
  COMMAND ${CMAKE_COMMAND} -DOUT=${kinds_generated} "-DFILES=${kinds_schemas}" -P ${CMAKE_SOURCE_DIR}/api/kinds/embed.cmake
  DEPENDS ${kinds_schemas} ${CMAKE_SOURCE_DIR}/api/kinds/embed.cmake VERBATIM)
target_sources(${target} PRIVATE ${kinds_generated})
